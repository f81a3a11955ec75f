//! The configuration file: YAML, flattened to the table's keys.
//!
//! Keys that files written for the other server of this protocol have, and that do nothing here yet, are told apart from
//! typing errors: a user's file carries over, and says what is missing.

use serde_json::Value;

use super::ConfigError;
use super::settings::SETTINGS;

/// Known, but without effect.
const UNSERVED: &[&str] = &[
    "agents",
    "api",
    "audio",
    "enable_data_tracks",
    "environment",
    "ingress",
    "key_file",
    "limit.bytes_per_sec",
    "limit.max_attributes_size",
    "limit.max_metadata_size",
    "limit.max_participant_identity_length",
    "limit.max_participant_name_length",
    "limit.max_room_name_length",
    "limit.num_tracks",
    "limit.subscription_limit_audio",
    "limit.subscription_limit_video",
    "log_level",
    "logging.component_levels",
    "logging.item_sample_initial",
    "logging.item_sample_interval",
    "logging.item_sample_seconds",
    "logging.pion_level",
    "logging.sample",
    "logging.sample_initial",
    "logging.sample_interval",
    "metric",
    "node_selector",
    "node_stats",
    "prometheus.password",
    "prometheus.username",
    "psrpc",
    "redis",
    "region",
    "room.create_room_attempts",
    "room.create_room_enabled",
    "room.create_room_timeout",
    "room.enable_remote_unmute",
    "room.enabled_codecs",
    "room.max_metadata_size",
    "room.participant_disconnect_timeout",
    "room.playout_delay",
    "room.room_configurations",
    "room.sync_streams",
    "rtc.advertise_internal_ip",
    "rtc.allow_tcp_fallback",
    "rtc.allow_timestamp_adjustment",
    "rtc.batch_io",
    "rtc.congestion_control",
    "rtc.datachannel_lossy_target_latency",
    "rtc.datachannel_slow_threshold",
    "rtc.enable_loopback_candidate",
    "rtc.external_ip_only",
    "rtc.forward_stats",
    "rtc.interfaces",
    "rtc.ips",
    "rtc.node_ip_auto_generated",
    "rtc.packet_buffer_size",
    "rtc.packet_buffer_size_audio",
    "rtc.packet_buffer_size_video",
    "rtc.pli_throttle",
    "rtc.port_range_end",
    "rtc.port_range_start",
    "rtc.reconnect_on_data_channel_error",
    "rtc.reconnect_on_publication_error",
    "rtc.reconnect_on_subscription_error",
    "rtc.strict_acks",
    "rtc.tcp_port",
    "rtc.use_external_ip",
    "rtc.use_ice_lite",
    "rtc.use_mdns",
    "rtc.validate_external_ip",
    "signal_relay",
    "sip",
    "trace",
    "turn",
    "video",
    "webhook",
];

/// Other names of settings: the name in the file, the key of the table.
const ALIASES: &[(&str, &str)] = &[("prometheus_port", "prometheus.port")];

/// How unlike a known key may be that is suggested, edits.
const SIMILAR_EDITS: usize = 3;

/// One value of the file.
pub(super) struct Entry {
    pub key: &'static str,
    /// How the file calls it.
    pub path: String,
    pub value: Value,
}

#[derive(Default)]
pub(super) struct Contents {
    pub values: Vec<Entry>,
    /// Known keys without effect that are given and not switched off.
    pub unserved: Vec<&'static str>,
}

/// `name` says which file, in errors.
pub(super) fn read(name: &str, text: &str) -> Result<Contents, ConfigError> {
    let syntax = |error: String| ConfigError::Syntax { name: name.to_owned(), error };
    let mut contents = Contents::default();
    if text.trim().is_empty() {
        return Ok(contents);
    }
    match serde_saphyr::from_str::<Value>(text).map_err(|error| syntax(error.to_string()))? {
        Value::Null => Ok(contents),
        Value::Object(map) => {
            collect(name, "", map, &mut contents)?;
            // The first of a key counts: an alias only where the key itself is not there.
            contents.values.sort_by_key(|entry| entry.path != entry.key);
            Ok(contents)
        }
        _ => Err(syntax("it should hold keys with values".to_owned())),
    }
}

/// Sorts the keys under `prefix`, which is empty or ends with a dot.
fn collect(
    name: &str,
    prefix: &str,
    map: serde_json::Map<String, Value>,
    contents: &mut Contents,
) -> Result<(), ConfigError> {
    for (key, value) in map {
        let path = format!("{prefix}{key}");
        let meant = ALIASES.iter().find(|(alias, _)| *alias == path).map_or(path.as_str(), |(_, key)| key);
        if let Some(setting) = SETTINGS.iter().find(|setting| setting.key == meant) {
            if !value.is_null() {
                contents.values.push(Entry { key: setting.key, path, value });
            }
        } else if let Some(known) = UNSERVED.iter().find(|known| **known == path) {
            if !is_off(&value) {
                contents.unserved.push(known);
            }
        } else if is_section(&path) {
            match value {
                Value::Object(inner) => collect(name, &format!("{path}."), inner, contents)?,
                Value::Null => {}
                _ => {
                    let setting = format!("`{path}` in {name}");
                    return Err(ConfigError::Value { setting, problem: "should hold keys with values".to_owned() });
                }
            }
        } else {
            let similar = similar(&path);
            return Err(ConfigError::UnknownKey { name: name.to_owned(), key: path, similar });
        }
    }
    Ok(())
}

fn known_keys() -> impl Iterator<Item = &'static str> {
    let aliases = ALIASES.iter().map(|(alias, _)| *alias);
    SETTINGS.iter().map(|setting| setting.key).chain(UNSERVED.iter().copied()).chain(aliases)
}

fn is_section(path: &str) -> bool {
    known_keys().any(|key| key.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

/// Nobody misses what is switched off.
fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty() || map.get("enabled") == Some(&Value::Bool(false)),
        _ => false,
    }
}

fn similar(path: &str) -> Option<String> {
    known_keys()
        .map(|key| (strsim::damerau_levenshtein(path, key), key))
        .filter(|(edits, key)| *edits <= SIMILAR_EDITS.min(key.len() / 2))
        .min()
        .map(|(_, key)| key.to_owned())
}
