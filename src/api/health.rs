//! `/livez` and `/readyz`, for whoever starts and stops servers and sends clients to them: a server that is not ready
//! needs no restart, and one that is dead no clients. `/healthz` says no more than that HTTP is served. Good for any port.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::lifecycle::liveness::Liveness;
use crate::lifecycle::{Lifecycle, Phase};

/// What answers are made of. Cheap to clone.
#[derive(Clone)]
pub struct Health {
    pub lifecycle: Arc<Lifecycle>,
    pub liveness: Arc<Liveness>,
}

/// All three routes.
pub fn routes(health: Health) -> Router {
    let routes = Router::new().route("/livez", get(livez)).route("/readyz", get(readyz)).with_state(health);
    routes.route("/healthz", get(|| std::future::ready("ok\n")))
}

async fn livez(State(health): State<Health>) -> Response {
    match health.dead().await {
        None => answer(StatusCode::OK, "alive".to_owned()),
        Some(dead) => answer(StatusCode::SERVICE_UNAVAILABLE, format!("not alive: {dead}")),
    }
}

async fn readyz(State(health): State<Health>) -> Response {
    let reason = match health.lifecycle.readiness() {
        Err(reason) => Some(reason.to_string()),
        // A room on a dead shard would never answer.
        Ok(()) => health.dead().await,
    };
    match reason {
        None => answer(StatusCode::OK, "ready".to_owned()),
        Some(reason) => answer(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}")),
    }
}

impl Health {
    /// Which shard is dead, if one is. Those of a server that ends are not missed.
    async fn dead(&self) -> Option<String> {
        if self.lifecycle.phase() == Phase::Ended {
            return None;
        }
        self.liveness.check().await.err().map(|dead| dead.to_string())
    }
}

fn answer(status: StatusCode, said: String) -> Response {
    (status, [(CACHE_CONTROL, "no-store")], said + "\n").into_response()
}

#[cfg(test)]
pub mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt;
    use tokio::sync::mpsc;
    use tower::ServiceExt;

    use super::*;
    use crate::config::OverloadLimits;
    use crate::shard::mailbox::Message;

    /// A server without shards.
    pub fn health() -> Health {
        let limits = OverloadLimits { shard_busy_percent: 0, memory_percent: 0 };
        let lifecycle = Arc::new(Lifecycle::new(&limits, 0));
        Health { lifecycle, liveness: Arc::new(Liveness::new([])) }
    }

    /// Of one that is ready.
    pub fn routes() -> Router {
        let health = health();
        health.lifecycle.enter(Phase::Serving);
        super::routes(health)
    }

    async fn ask(health: &Health, path: &str) -> (u16, String) {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let response = super::routes(health.clone()).oneshot(request).await.unwrap();
        assert_eq!(response.headers()["cache-control"], "no-store");
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_server_is_alive_all_along_and_ready_in_between() {
        let health = health();
        assert_eq!(ask(&health, "/readyz").await, (503, "not ready: starting\n".to_owned()));
        for (phase, status, said) in [
            (Phase::Serving, 200, "ready\n"),
            (Phase::Draining, 503, "not ready: draining\n"),
            (Phase::Ended, 503, "not ready: draining\n"),
        ] {
            health.lifecycle.enter(phase);
            assert_eq!(ask(&health, "/readyz").await, (status, said.to_owned()));
            assert_eq!(ask(&health, "/livez").await, (200, "alive\n".to_owned()));
        }
    }

    #[tokio::test]
    async fn a_shard_that_ended_is_named_while_the_server_goes_on() {
        let (mailbox, messages) = mpsc::channel::<Message>(1);
        let liveness = Arc::new(Liveness::new([(mailbox, Arc::default())]));
        let health = Health { liveness, ..health() };
        health.lifecycle.enter(Phase::Serving);
        drop(messages);
        assert_eq!(ask(&health, "/livez").await, (503, "not alive: shard 0 has ended\n".to_owned()));
        assert_eq!(ask(&health, "/readyz").await, (503, "not ready: shard 0 has ended\n".to_owned()));
        health.lifecycle.enter(Phase::Ended);
        assert_eq!(ask(&health, "/livez").await.0, 200);
    }
}
