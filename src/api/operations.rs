//! The operations server's HTTP surface: metrics and probes, and whatever else is for operators, not for clients. It has listeners and
//! connections of its own (`listen`, `serve`), so that it can be bound where only operators reach it.
//!
//! What always holds: no origin but its own may read it from a page: no program that needs it is one.

use std::sync::Arc;

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::name_server;

/// Renders all metrics as Prometheus text.
pub type RenderMetrics = Arc<dyn Fn() -> String + Send + Sync>;

/// Composes everything that operators are served. `further` are routes beside metrics: probes, debugging.
pub fn router(render_metrics: RenderMetrics, further: Router) -> Router {
    Router::new()
        .route("/metrics", get(move || std::future::ready(metrics(render_metrics()))))
        .merge(further)
        .layer(axum::middleware::map_response(name_server))
}

fn metrics(text: String) -> Response {
    // The version belongs to the exposition format.
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"), (CACHE_CONTROL, "no-store")], text).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{HeaderMap, Request, StatusCode};
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;
    use crate::api::health;

    async fn ask(path: &str) -> (StatusCode, HeaderMap, String) {
        let router = router(Arc::new(|| "packets 1\n".to_owned()), health::tests::routes());
        let request = Request::builder().uri(path).header("Origin", "https://example.org");
        let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn metrics_and_probes_are_served_to_no_page_of_another_origin() {
        for (path, expected) in [("/metrics", "packets 1\n"), ("/livez", "alive\n"), ("/readyz", "ready\n")] {
            let (status, headers, body) = ask(path).await;
            assert_eq!((status, body.as_str()), (StatusCode::OK, expected), "{path}");
            assert_eq!(headers.get("access-control-allow-origin"), None, "{path}");
            assert!(headers.contains_key("server"), "{path}");
        }
        let (_, headers, _) = ask("/metrics").await;
        assert_eq!(headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
        assert_eq!(headers["cache-control"], "no-store");
        assert_eq!(ask("/").await.0, StatusCode::NOT_FOUND);
    }
}
