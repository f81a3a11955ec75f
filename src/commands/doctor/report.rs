//! What checks found, as lines for a person and as JSON for a program.

use std::fmt::Write;

use serde::Serialize;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Ok,
    /// Some clients, or many at once, will meet it.
    Warn,
    /// The server will not start, or clients will not get through.
    Fail,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Finding {
    pub check: &'static str,
    pub verdict: Verdict,
    pub found: String,
    /// What to do; none where all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Finding {
    pub fn ok(check: &'static str, found: impl Into<String>) -> Finding {
        Finding { check, verdict: Verdict::Ok, found: found.into(), advice: None }
    }

    pub fn warn(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { check, verdict: Verdict::Warn, found: found.into(), advice: Some(advice.into()) }
    }

    pub fn fail(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding { check, verdict: Verdict::Fail, found: found.into(), advice: Some(advice.into()) }
    }
}

pub(super) struct Report {
    pub findings: Vec<Finding>,
}

#[derive(Serialize)]
struct Json<'a> {
    /// No check failed.
    healthy: bool,
    checks: &'a [Finding],
}

impl Report {
    pub fn failed(&self) -> bool {
        self.findings.iter().any(|finding| finding.verdict == Verdict::Fail)
    }

    /// One line a finding: the verdict, what was looked at, what was found, what to do.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for Finding { check, verdict, found, advice } in &self.findings {
            let verdict = match verdict {
                Verdict::Ok => "ok",
                Verdict::Warn => "warn",
                Verdict::Fail => "FAIL",
            };
            let advice = advice.as_ref().map(|advice| format!("  - {advice}")).unwrap_or_default();
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{verdict:<5} {check:<13} {found}{advice}");
        }
        text
    }

    pub fn json(&self) -> String {
        let json = Json { healthy: !self.failed(), checks: &self.findings };
        serde_json::to_string_pretty(&json).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_tells_the_verdict_what_was_found_and_what_to_do() {
        let mut report = Report { findings: vec![Finding::ok("clock", "fine"), Finding::warn("udp", "slow", "wait")] };
        assert_eq!(report.text(), "ok    clock         fine\nwarn  udp           slow  - wait\n");
        assert!(!report.failed());
        report.findings.push(Finding::fail("keys", "none", "make one"));
        assert!(report.failed() && report.text().ends_with("FAIL  keys          none  - make one\n"));
    }

    #[test]
    fn json_says_the_same() {
        let report = Report { findings: vec![Finding::ok("clock", "fine"), Finding::fail("keys", "none", "make one")] };
        let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(json["healthy"], false);
        assert_eq!(json["checks"][0], serde_json::json!({"check": "clock", "verdict": "ok", "found": "fine"}));
        assert_eq!(json["checks"][1]["verdict"], "fail");
        assert_eq!(json["checks"][1]["advice"], "make one");
    }
}
