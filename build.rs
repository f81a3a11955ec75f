//! Lets the embedded page (src/api/page.rs) follow what is built in web/dist, and lets the server build before it is.

use std::path::Path;

fn main() {
    let page = Path::new("web/dist");
    // Watching a folder that does not exist would build the crate anew each time. A tree that cannot be written to does
    // without: the server then says that the page is missing.
    if !page.exists()
        && let Err(error) = std::fs::create_dir_all(page)
    {
        println!("cargo::warning=cannot create web/dist, so the page is left out: {error}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=web/dist");
}
