//! Why a run cannot go on.

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Usage(String),
    #[error("signalling: {0}")]
    Signalling(String),
    #[error("{0}: nothing within {1} s")]
    Timeout(&'static str, u64),
    #[error("nobody could join: {0}")]
    Nobody(String),
    #[error("the media thread is gone")]
    Engine,
    #[error("plot {0}")]
    Plot(String),
    #[error("stopped")]
    Stopped,
}
