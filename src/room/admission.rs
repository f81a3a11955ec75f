//! What is let in: grants against sources, and the bounds of names, metadata and attributes.

use std::collections::BTreeMap;

use super::command::JoinRequest;
use super::model::*;
use crate::limits;

/// Whether the grants allow a track from this source.
pub fn source_allowed(grants: &Grants, source: TrackSource) -> bool {
    grants.publish && (grants.publish_sources.is_empty() || grants.publish_sources.contains(&source))
}

/// Whether a join request keeps every bound on text.
pub fn join_within_limits(request: &JoinRequest) -> bool {
    !request.identity.as_str().is_empty()
        && request.identity.as_str().len() <= limits::NAME_BYTES
        && request.room.as_str().len() <= limits::NAME_BYTES
        && texts_within_limits(&request.name, &request.metadata, &request.attributes)
}

/// Whether a participant's texts keep their bounds.
pub fn texts_within_limits(name: &str, metadata: &str, attributes: &BTreeMap<String, String>) -> bool {
    let attribute_bytes: usize = attributes.iter().map(|(key, value)| key.len() + value.len()).sum();
    name.len() <= limits::NAME_BYTES
        && metadata.len() <= limits::METADATA_BYTES
        && attribute_bytes <= limits::ATTRIBUTES_BYTES
}
