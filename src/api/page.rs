//! The meeting page, embedded into the binary from web/dist.
//!
//! What always holds: assets have their content's hash in their name, so browsers keep them for ever; the page itself is
//! asked for anew each time; its content security policy lets nothing in but the server's own files.

use std::borrow::Cow;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// Finds a file of the page by its path, without a leading slash.
pub type Files = fn(&str) -> Option<Cow<'static, [u8]>>;

/// Scripts, workers and styles of the server's own; signalling over WebSocket; media from the peer connection.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; \
    font-src 'self'; connect-src 'self' ws: wss:; media-src 'self' blob: mediastream:; worker-src 'self' blob:; \
    manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'";
const PERMISSIONS: &str =
    "camera=(self), microphone=(self), display-capture=(self), speaker-selection=(self), autoplay=(self)";
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");

const FOR_EVER: &str = "public, max-age=31536000, immutable";
const ASK_AGAIN: &str = "no-cache";

const NOT_BUILT: &str = "<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<title>Sfumato</title>
<h1>The server runs; its page was not built</h1>
<p>Clients can connect to this address. To get the meeting page, install Node, then run in the source folder:
<pre>make run</pre>
<p>or, by hand, <code>npm ci &amp;&amp; npm run build</code> in <code>web/</code> and <code>cargo build --release</code>.
";

#[derive(rust_embed::Embed)]
#[folder = "web/dist/"]
#[allow_missing = true]
struct Dist;

/// The page as it was when the binary was built; a debug build reads it from the source folder each time.
pub fn embedded(path: &str) -> Option<Cow<'static, [u8]>> {
    Dist::get(path).map(|file| file.data)
}

/// Whether there is a page, and not just the text saying how to build it.
pub fn is_built(files: Files) -> bool {
    files("index.html").is_some()
}

/// Serves the page at `/`, its assets, and 404 for what nothing else serves.
pub fn routes(files: Files) -> Router {
    Router::new()
        .route("/", get(move || std::future::ready(index(files))))
        .route("/assets/{*path}", get(move |Path(path): Path<String>| std::future::ready(asset(files, &path))))
        .fallback(get(move |uri: Uri| std::future::ready(other(files, uri.path()))).fallback(not_found))
}

fn index(files: Files) -> Response {
    let page = files("index.html").unwrap_or(Cow::Borrowed(NOT_BUILT.as_bytes()));
    file("index.html", page, ASK_AGAIN)
}

fn asset(files: Files, path: &str) -> Response {
    let path = format!("assets/{path}");
    files(&path).map(|bytes| file(&path, bytes, FOR_EVER)).unwrap_or_else(missing)
}

/// What stands beside the page, such as an icon.
fn other(files: Files, path: &str) -> Response {
    let path = path.trim_start_matches('/');
    files(path).map(|bytes| file(path, bytes, ASK_AGAIN)).unwrap_or_else(missing)
}

async fn not_found() -> Response {
    missing()
}

fn missing() -> Response {
    (StatusCode::NOT_FOUND, "not found\n").into_response()
}

fn file(path: &str, bytes: Cow<'static, [u8]>, caching: &'static str) -> Response {
    let kind = content_type(path);
    let mut response = Body::from(bytes).into_response();
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| {
        headers.insert(name, axum::http::HeaderValue::from_static(value));
    };
    set(CONTENT_TYPE, kind);
    set(CACHE_CONTROL, caching);
    set(X_CONTENT_TYPE_OPTIONS, "nosniff");
    if kind.starts_with("text/html") {
        set(CONTENT_SECURITY_POLICY, POLICY);
        set(PERMISSIONS_POLICY, PERMISSIONS);
        set(REFERRER_POLICY, "no-referrer");
    }
    response
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("webp") => "image/webp",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("wasm") => "application/wasm",
        Some("mp3") => "audio/mpeg",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, Request};
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    fn built(path: &str) -> Option<Cow<'static, [u8]>> {
        match path {
            "index.html" => Some(Cow::Borrowed(b"<p>page")),
            "assets/main-abc.js" => Some(Cow::Borrowed(b"run()")),
            "robots.txt" => Some(Cow::Borrowed(b"none")),
            _ => None,
        }
    }

    async fn ask(files: Files, method: &str, path: &str) -> (StatusCode, HeaderMap, String) {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let (parts, body) = routes(files).oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn the_page_and_its_assets_have_types_and_lifetimes() {
        let (status, headers, body) = ask(built, "GET", "/").await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, "<p>page"));
        assert_eq!(headers["content-type"], "text/html; charset=utf-8");
        assert_eq!(headers["cache-control"], ASK_AGAIN);
        assert!(headers["content-security-policy"].to_str().unwrap().contains("script-src 'self';"));
        assert!(headers.contains_key("permissions-policy"));

        let (status, headers, body) = ask(built, "GET", "/assets/main-abc.js").await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, "run()"));
        assert_eq!(headers["content-type"], "text/javascript; charset=utf-8");
        assert_eq!(headers["cache-control"], FOR_EVER);
        assert_eq!(headers["x-content-type-options"], "nosniff");

        assert_eq!(ask(built, "GET", "/robots.txt").await.1["cache-control"], ASK_AGAIN);
        let (status, _, body) = ask(built, "HEAD", "/").await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, ""));
    }

    #[tokio::test]
    async fn without_a_page_the_server_says_how_to_build_it() {
        let (status, headers, body) = ask(|_| None, "GET", "/").await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(headers["content-type"], "text/html; charset=utf-8");
        assert!(body.contains("npm run build"));
        assert!(is_built(built) && !is_built(|_| None));
    }

    #[tokio::test]
    async fn what_is_not_there_is_404_and_not_the_page() {
        for path in
            ["/assets/none.js", "/room/x", "/index.htm", "/assets/", "/assets/../Cargo.toml", "/..%2fCargo.toml"]
        {
            assert_eq!(ask(built, "GET", path).await.0, StatusCode::NOT_FOUND, "{path}");
            assert_eq!(ask(embedded, "GET", path).await.0, StatusCode::NOT_FOUND, "{path}");
        }
        assert_eq!(ask(built, "POST", "/nowhere").await.0, StatusCode::NOT_FOUND);
    }
}
