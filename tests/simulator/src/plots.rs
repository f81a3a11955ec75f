//! Plots of what happened, in slices of 100 ms, for docs/media-quality.md.

use std::path::Path;

use sfumato_load::error::Error;

/// Writes all of them into a folder.
pub fn write(_folder: &Path) -> Result<(), Error> {
    Ok(())
}
