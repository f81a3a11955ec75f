//! One setting's value as it was given, and its readings as types. Flags and variables give text, the file gives YAML values.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use axum::http::Uri;
use ipnet::IpNet;
use serde_json::Value;

use super::{ApiKeys, IceServer, LogLevel, Ratio, Secret, ice_servers};

pub(super) struct SettingValue {
    /// Where it was given, for errors: `--port`, `SFUMATO_PORT` or the key and the file.
    pub name: String,
    pub value: Value,
}

/// Readings say in their error what is wrong, without saying where.
impl SettingValue {
    pub fn boolean(&self) -> Result<bool, String> {
        match &self.value {
            Value::Bool(value) => Ok(*value),
            Value::String(text) => match text.trim().to_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Ok(true),
                "false" | "no" | "off" | "0" => Ok(false),
                _ => Err(format!("`{text}` should be true or false")),
            },
            other => Err(format!("{} should be true or false", shown(other))),
        }
    }

    pub fn integer<T>(&self, range: RangeInclusive<T>) -> Result<T, String>
    where
        T: TryFrom<u64> + PartialOrd + fmt::Display,
    {
        let number = match &self.value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.trim().parse::<u64>().ok(),
            _ => None,
        };
        number.and_then(|number| T::try_from(number).ok()).filter(|number| range.contains(number)).ok_or_else(|| {
            format!("{} should be a number from {} to {}", shown(&self.value), range.start(), range.end())
        })
    }

    pub fn udp_port(&self) -> Result<u16, String> {
        match &self.value {
            Value::String(text) if text.contains(['-', ',']) => Err(format!(
                "`{text}` is a range of ports, which is not supported yet: give the first port; each shard takes one from there on"
            )),
            _ => self.integer(0..=u16::MAX),
        }
    }

    pub fn seconds(&self) -> Result<Duration, String> {
        self.integer(0..=u32::MAX).map(|seconds| Duration::from_secs(seconds.into()))
    }

    pub fn percent(&self) -> Result<u8, String> {
        self.integer(0..=100)
    }

    pub fn addresses(&self) -> Result<Vec<IpAddr>, String> {
        self.texts()?.into_iter().map(address).collect()
    }

    /// As [`addresses`](Self::addresses); an empty one means every address.
    pub fn bind_addresses(&self) -> Result<Vec<IpAddr>, String> {
        let read = |text: &str| {
            if text.is_empty() { Ok(Ipv6Addr::UNSPECIFIED.into()) } else { address(text) }
        };
        self.texts()?.into_iter().map(read).collect()
    }

    pub fn path(&self) -> Result<PathBuf, String> {
        match self.value.as_str() {
            Some(text) if !text.trim().is_empty() => Ok(PathBuf::from(text)),
            _ => Err(format!("{} should be the path of a file", shown(&self.value))),
        }
    }

    /// Networks, or single addresses.
    pub fn networks(&self) -> Result<Vec<IpNet>, String> {
        self.texts()?.into_iter().filter(|text| !text.is_empty()).map(network).collect()
    }

    /// A list, or text with commas.
    fn texts(&self) -> Result<Vec<&str>, String> {
        let wrong = |value| format!("{} should be an address or a list of them", shown(value));
        match &self.value {
            Value::String(text) => Ok(text.split(',').map(str::trim).collect()),
            Value::Array(items) => {
                items.iter().map(|item| item.as_str().map(str::trim).ok_or_else(|| wrong(item))).collect()
            }
            other => Err(wrong(other)),
        }
    }

    pub fn stun_servers(&self) -> Result<Vec<IceServer>, String> {
        self.texts()?.into_iter().map(ice_servers::stun).collect()
    }

    /// A list, or its text in YAML.
    pub fn turn_servers(&self) -> Result<Vec<IceServer>, String> {
        let parsed = match &self.value {
            Value::String(text) => serde_saphyr::from_str::<Value>(text).ok(),
            _ => None,
        };
        match parsed.as_ref().unwrap_or(&self.value) {
            Value::Array(items) => items.iter().map(ice_servers::turn).collect(),
            // One alone fails with the form that is wanted, or is taken.
            other => ice_servers::turn(other).map(|server| vec![server]),
        }
    }

    /// The address of a collector of traces.
    pub fn collector(&self) -> Result<Uri, String> {
        let wrong = || format!("{} should be an address as in http://127.0.0.1:4318", shown(&self.value));
        let uri: Uri = self.value.as_str().and_then(|text| text.trim().parse().ok()).ok_or_else(wrong)?;
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err("it should hold no password: give the collector's in OTEL_EXPORTER_OTLP_HEADERS".to_owned());
        }
        let http = matches!(uri.scheme_str(), Some("http" | "https"));
        if http && uri.query().is_none() { Ok(uri) } else { Err(wrong()) }
    }

    pub fn ratio(&self) -> Result<Ratio, String> {
        let number = match &self.value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        number.and_then(Ratio::new).ok_or_else(|| format!("{} should be a number from 0 to 1", shown(&self.value)))
    }

    pub fn log_level(&self) -> Result<LogLevel, String> {
        match self.value.as_str().map(|text| text.trim().to_lowercase()).as_deref() {
            Some("error") => Ok(LogLevel::Error),
            Some("warn" | "warning") => Ok(LogLevel::Warn),
            Some("info") => Ok(LogLevel::Info),
            Some("debug") => Ok(LogLevel::Debug),
            Some("trace") => Ok(LogLevel::Trace),
            _ => Err(format!("{} should be error, warn, info, debug or trace", shown(&self.value))),
        }
    }

    /// Errors show no value: it may be a secret.
    pub fn keys(&self) -> Result<ApiKeys, String> {
        const FORM: &str = "should be API keys with their secrets, as in `KEY: SECRET`";
        let parsed;
        let map = match &self.value {
            Value::Object(map) => map,
            Value::String(text) => {
                parsed = serde_saphyr::from_str::<Value>(text).map_err(|_| FORM.to_owned())?;
                parsed.as_object().ok_or_else(|| FORM.to_owned())?
            }
            _ => return Err(FORM.to_owned()),
        };
        map.iter()
            .map(|(key, secret)| match secret {
                Value::String(secret) if !key.is_empty() && !secret.is_empty() => {
                    Ok((key.clone(), Secret::new(secret)))
                }
                Value::String(_) | Value::Null => Err(format!("the key `{key}` or its secret is empty")),
                Value::Number(_) | Value::Bool(_) => Err(format!("the secret of key `{key}` should be text: quote it")),
                _ => Err(FORM.to_owned()),
            })
            .collect()
    }
}

fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("`{text}` should be an IP address, as in 192.0.2.1 or 2001:db8::1"))
}

/// In the form addresses are compared in: an IPv4-mapped network (RFC 4291, section 2.5.5.2) is one of IPv4.
fn network(text: &str) -> Result<IpNet, String> {
    let alone = || text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical()));
    let network = text.parse::<IpNet>().or_else(|_| alone());
    let network = network.map_err(|_| format!("`{text}` should be a network, as in 192.0.2.0/24 or 2001:db8::/32"))?;
    let mapped = network.prefix_len().checked_sub(96).filter(|_| network.addr().is_ipv6());
    match (network.addr().to_canonical(), mapped) {
        (v4 @ IpAddr::V4(_), Some(prefix)) => IpNet::new(v4, prefix).map_err(|error| error.to_string()),
        _ => Ok(network.trunc()),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    }
}
