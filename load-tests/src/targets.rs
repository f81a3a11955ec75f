//! Several servers to load in turn, read from a file: how each is started or reached.
//!
//! What always holds: an unknown or missing setting is an error that names it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::Error;
use crate::signalling::{Access, Endpoints, Protocol};
use crate::target::{Launch, Ready, Target};

/// Most servers compared.
const TARGETS: usize = 16;

/// One server as a person describes it.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Described {
    name: String,
    /// Sfumato's program, started on free ports.
    server: Option<PathBuf>,
    /// Or another server's program and its arguments, started as they are; it is ready when `url` takes connections.
    command: Vec<String>,
    arguments: Vec<String>,
    cores: Vec<usize>,
    url: Option<String>,
    /// Of a server that runs already.
    pid: Option<u32>,
    /// Where to publish and play by HTTP; both or none.
    whip: Option<String>,
    whep: Option<String>,
    whep_offers: Side,
    whep_watches: Watched,
}

/// Who makes the offer when something is to be played.
#[derive(Deserialize, Default, PartialEq, Eq, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Side {
    #[default]
    Client,
    Server,
}

/// What one player watches.
#[derive(Deserialize, Default, PartialEq, Eq, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Watched {
    /// The speaker that `{identity}` names.
    #[default]
    One,
    /// Everybody but `{identity}`, who it is.
    Others,
}

/// Reads a list of servers; what they do not say is as in `access`.
pub fn read(path: &Path, access: &Access) -> Result<Vec<Target>, Error> {
    let wrong = |error: String| Error::Usage(format!("{}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    parse(&text, access).map_err(wrong)
}

fn parse(text: &str, access: &Access) -> Result<Vec<Target>, String> {
    let described: Vec<Described> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if !(1..=TARGETS).contains(&described.len()) {
        return Err(format!("1 to {TARGETS} servers"));
    }
    described.into_iter().map(|described| target(described, access)).collect()
}

fn target(described: Described, access: &Access) -> Result<Target, String> {
    let Described { name, url, pid, whip, whep, .. } = &described;
    if name.is_empty() || name.contains(['/', '.']) {
        return Err("each server has a \"name\" that can be part of a file's".to_owned());
    }
    let protocol = match (whip, whep) {
        (Some(whip), Some(whep)) => {
            let authorizes = matches!(&access.protocol, Protocol::Http(endpoints) if endpoints.authorizes);
            let server_offers = described.whep_offers == Side::Server;
            let others = described.whep_watches == Watched::Others;
            if others && !server_offers {
                return Err(format!("{name}: to watch others, the server has to offer (\"whep_offers\": \"server\")"));
            }
            Protocol::Http(Endpoints { whip: whip.clone(), whep: whep.clone(), server_offers, others, authorizes })
        }
        (None, None) => access.protocol.clone(),
        _ => return Err(format!("{name}: \"whip\" and \"whep\", both or none")),
    };
    let url = url.clone().unwrap_or_else(|| access.url.clone());
    let launch = launch(&described, &url)?;
    if launch.is_none() && pid.is_none() {
        return Err(format!("{name}: one of \"server\", \"command\" and \"pid\""));
    }
    Ok(Target { name: name.clone(), access: Access { url, protocol, ..access.clone() }, pid: *pid, launch })
}

fn launch(described: &Described, url: &str) -> Result<Option<Launch>, String> {
    let Described { name, server, command, arguments, cores, .. } = described;
    match (server, command.split_first()) {
        (Some(server), None) => Ok(Some(Launch::sfumato(server.clone(), arguments.clone(), cores.clone()))),
        (None, Some((program, own))) => Ok(Some(Launch {
            program: program.into(),
            arguments: own.iter().chain(arguments).cloned().collect(),
            cores: cores.clone(),
            ready: Ready::Listens(address(url).ok_or_else(|| format!("{name}: \"url\" is http://ADDRESS:PORT"))?),
        })),
        (None, None) => Ok(None),
        _ => Err(format!("{name}: \"server\" or \"command\", not both")),
    }
}

fn address(url: &str) -> Option<SocketAddr> {
    url.strip_prefix("http://")?.split('/').next()?.replace("localhost", "127.0.0.1").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signalling::token::ApiKey;
    use std::time::Duration;

    fn parsed(text: &str) -> Result<Vec<Target>, String> {
        let key = ApiKey { key: String::new(), secret: String::new() };
        let url = "http://127.0.0.1:7880".to_owned();
        let timeout = Duration::from_secs(1);
        parse(text, &Access { url, protocol: Protocol::Livekit, key, timeout, allow_remote: false })
    }

    #[test]
    fn servers_can_be_started_or_run_already() {
        let targets = parsed(
            r#"[{ "name": "own", "server": "bin/sfumato", "arguments": ["--shards", "1"], "cores": [0] },
                { "name": "other", "command": ["bin/other", "-c"], "arguments": ["x"], "url": "http://localhost:8889",
                  "whip": "/{room}/whip", "whep": "/{room}/whep" },
                { "name": "running", "pid": 7 },
                { "name": "offering", "pid": 8, "whip": "/p/{room}", "whep": "/{room}", "whep_offers": "server",
                  "whep_watches": "others" }]"#,
        )
        .unwrap();
        let launches: Vec<&Launch> = targets.iter().filter_map(|target| target.launch.as_ref()).collect();
        assert!(launches[0].arguments.ends_with(&["--shards".to_owned(), "1".to_owned()]));
        assert_eq!((&launches[0].ready, &launches[0].cores), (&Ready::Says, &vec![0]));
        assert_eq!(launches[1].arguments, ["-c", "x"]);
        assert_eq!(launches[1].ready, Ready::Listens("127.0.0.1:8889".parse().unwrap()));
        assert!(matches!(&targets[1].access.protocol, Protocol::Http(endpoints) if endpoints.whip == "/{room}/whip"));
        let offers = |target: &Target| match &target.access.protocol {
            Protocol::Http(endpoints) => (endpoints.server_offers, endpoints.others),
            Protocol::Livekit => (false, false),
        };
        assert_eq!((offers(&targets[1]), offers(&targets[3])), ((false, false), (true, true)));
        assert_eq!((targets[2].pid, targets[2].access.url.as_str()), (Some(7), "http://127.0.0.1:7880"));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for text in [
            "",
            "[]",
            r#"[{ "name": "a" }]"#,
            r#"[{ "name": "", "pid": 1 }]"#,
            r#"[{ "name": "../a", "pid": 1 }]"#,
            r#"[{ "name": "a", "pid": 1, "whip": "/x" }]"#,
            r#"[{ "name": "a", "pid": 1, "unknown": 2 }]"#,
            r#"[{ "name": "a", "pid": 1, "whip": "/x", "whep": "/y", "whep_offers": "nobody" }]"#,
            r#"[{ "name": "a", "pid": 1, "whip": "/x", "whep": "/y", "whep_watches": "others" }]"#,
            r#"[{ "name": "a", "server": "x", "command": ["y"] }]"#,
            r#"[{ "name": "a", "command": ["y"], "url": "http://example.net" }]"#,
        ] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }
}
