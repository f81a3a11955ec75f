//! Why a request is refused, and with which status (RFC 9725, sections 4.2 to 4.7; RFC 6750, section 3; RFC 6585).

use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::limits;
use crate::negotiation::OfferError;
use crate::signalling::place::Denial;
use crate::signalling::token::TokenError;

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The token is good, for something else.
    #[error("the access token does not allow this: {0}")]
    Forbidden(&'static str),
    #[error("requested room does not exist")]
    NoRoom,
    #[error("the name of a room or participant is empty or too long")]
    Name,
    #[error("the body must be of type {0}")]
    MediaType(&'static str),
    #[error("the body is larger than {} bytes", limits::HTTP_BODY_BYTES)]
    TooLarge,
    #[error("the body did not arrive in time")]
    BodyTimeout,
    #[error("the body is not UTF-8, or broke off")]
    Body,
    #[error("{0}")]
    Malformed(String),
    /// Well-formed, and never to be served.
    #[error("{0}")]
    Unprocessable(String),
    #[error("{0}")]
    NotAcceptable(&'static str),
    #[error("there is no such session, or it has ended")]
    NoSession,
    #[error("If-Match is missing: send the session's ETag, or * to restart ICE")]
    NoPrecondition,
    #[error("ICE was restarted since: the session has another ETag")]
    Stale,
    #[error(transparent)]
    Denied(#[from] Denial),
}

impl Refusal {
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Token(error) => StatusCode::from_u16(error.status()).unwrap_or(StatusCode::UNAUTHORIZED),
            Self::Denied(denial) => StatusCode::from_u16(denial.status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE),
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NoRoom | Self::NoSession => StatusCode::NOT_FOUND,
            Self::Name | Self::Body | Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::MediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Unprocessable(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NotAcceptable(_) => StatusCode::NOT_ACCEPTABLE,
            Self::NoPrecondition => StatusCode::PRECONDITION_REQUIRED,
            Self::Stale => StatusCode::PRECONDITION_FAILED,
        }
    }

    /// What a client is told of how to do better.
    fn challenge(&self) -> Option<&'static str> {
        match self {
            // RFC 6750, section 3.1: no error code for a request without any credentials.
            Self::Token(TokenError::Missing) => Some("Bearer"),
            Self::Token(_) => Some("Bearer error=\"invalid_token\""),
            Self::Forbidden(_) => Some("Bearer error=\"insufficient_scope\""),
            _ => None,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, challenge) = (self.status(), self.challenge());
        let mut response = (status, format!("{self}\n")).into_response();
        if let Some(challenge) = challenge {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Self::Denied(denial) = self
            && let Some(seconds) = denial.retry_after()
        {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

impl From<OfferError> for Refusal {
    fn from(error: OfferError) -> Self {
        match error {
            OfferError::NoCommonCodec(_) => Self::NotAcceptable("a section has no codec that is forwarded"),
            OfferError::Missing(_) => Self::Unprocessable(error.to_string()),
            OfferError::TooLong(_)
            | OfferError::Malformed(_)
            | OfferError::TooManySections(_)
            | OfferError::SectionsChanged => Self::Malformed(error.to_string()),
        }
    }
}
