//! The public HTTP surface: the page, probes, and the routes of the signalling adaptors, with what all answers carry. What is for
//! operators alone is served elsewhere (`operations`).
//!
//! What always holds: every answer names the server; any origin may ask, as tokens and not cookies let a client in; a
//! path that is not served answers 404 with a text.

mod address_places;
pub mod banner;
pub mod client_address;
pub mod debug;
mod forwarded;
pub mod health;
pub mod listen;
pub mod operations;
pub mod page;
pub mod serve;
pub mod tls;

use std::time::Duration;

use axum::Router;
use axum::http::header::SERVER;
use axum::http::{HeaderValue, Method};
use axum::response::Response;
use tower_http::cors::{Any, CorsLayer};

pub use client_address::{ClientAddress, ClientAddresses};
pub use listen::{BindError, bind, bind_operations};
pub use serve::{Site, serve, serve_operations};
pub use tls::Tls;

/// How long a browser may remember that any origin may ask.
pub const CORS_MAX_AGE: Duration = Duration::from_secs(86_400);
/// `Server` of every answer.
pub(crate) const SERVER_NAME: &str = concat!("sfumato/", env!("CARGO_PKG_VERSION"));

/// Composes everything that clients and browsers are served. `answering` are routes that answer for CORS themselves.
pub fn router(signalling: Router, answering: Router, probes: Router, files: page::Files) -> Router {
    Router::new()
        .merge(probes)
        .merge(signalling)
        .merge(page::routes(files))
        .layer(cors())
        .merge(answering)
        .layer(axum::middleware::map_response(name_server))
}

fn cors() -> CorsLayer {
    let methods = [Method::GET, Method::HEAD, Method::POST, Method::PATCH, Method::DELETE, Method::OPTIONS];
    CorsLayer::new().allow_origin(Any).allow_headers(Any).allow_methods(methods).max_age(CORS_MAX_AGE)
}

async fn name_server(mut response: Response) -> Response {
    response.headers_mut().insert(SERVER, HeaderValue::from_static(SERVER_NAME));
    response
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{HeaderMap, Request, StatusCode};
    use axum::routing::get;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    async fn ask(method: &str, path: &str) -> (StatusCode, HeaderMap, String) {
        let signalling = Router::new().route("/join", get(|| std::future::ready("joined")));
        let router = router(signalling, Router::new(), health::tests::routes(), |_| None);
        let request = Request::builder().method(method).uri(path).header("Origin", "https://example.org");
        let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn probes_and_signalling_are_served_by_name() {
        for (path, body) in [("/healthz", "ok\n"), ("/livez", "alive\n"), ("/readyz", "ready\n"), ("/join", "joined")] {
            let (status, headers, answer) = ask("GET", path).await;
            assert_eq!((status, answer.as_str()), (StatusCode::OK, body), "{path}");
            assert_eq!(headers["server"], SERVER_NAME);
        }
        assert_eq!(ask("HEAD", "/").await.0, StatusCode::OK);
        // Metrics are for operators.
        for path in ["/nowhere", "/metrics"] {
            let (status, headers, _) = ask("GET", path).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
            assert_eq!(headers["server"], SERVER_NAME);
        }
    }

    #[tokio::test]
    async fn any_origin_may_ask() {
        assert_eq!(ask("GET", "/join").await.1["access-control-allow-origin"], "*");
        assert_eq!(ask("GET", "/nowhere").await.1["access-control-allow-origin"], "*");
        let (status, headers, _) = ask("OPTIONS", "/join").await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(headers["access-control-max-age"], "86400");
        assert_eq!(headers["access-control-allow-headers"], "*");
    }
}
