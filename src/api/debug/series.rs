//! The last minute of a participant as columns, oldest first: one value a second.

use serde_json::{Value, json};

use crate::recorder::series::Sample;

pub(super) fn columns(samples: &[Sample]) -> Value {
    json!({
        "interval_seconds": 1,
        "received_bitrate_bps": column(samples, |sample| sample.received_bitrate.into()),
        "sent_bitrate_bps": column(samples, |sample| sample.sent_bitrate.into()),
        "received_loss_ratio": column(samples, |sample| ratio(sample.received_loss)),
        "sent_loss_ratio": column(samples, |sample| ratio(sample.sent_loss)),
        "received_jitter_ms": column(samples, |sample| tenths(sample.received_jitter)),
        "sent_jitter_ms": column(samples, |sample| tenths(sample.sent_jitter)),
        "round_trip_time_ms": column(samples, |sample| sample.round_trip_ms.into()),
        "nacked_packets": column(samples, |sample| sample.nacked.into()),
        "retransmitted_packets": column(samples, |sample| sample.retransmitted.into()),
        "keyframe_requests": column(samples, |sample| sample.keyframe_requests.into()),
        "freezes": column(samples, |sample| sample.freezes.into()),
        "estimated_bitrate_bps": column(samples, |sample| {
            Some(sample.estimated_bitrate).filter(|estimated| *estimated > 0).into()
        }),
    })
}

fn column(samples: &[Sample], value: impl Fn(&Sample) -> Value) -> Vec<Value> {
    samples.iter().map(value).collect()
}

/// Of 256ths, to a thousandth.
fn ratio(share: u8) -> Value {
    json!((f64::from(share) / 256.0 * 1_000.0).round() / 1_000.0)
}

fn tenths(tenths: u16) -> Value {
    json!(f64::from(tenths) / 10.0)
}
