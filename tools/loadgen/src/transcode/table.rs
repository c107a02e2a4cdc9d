//! The tables of the bench, beside what they are to be.
//!
//! In → Out: what was measured → Markdown.
//! Spec: bench/README.md, "Transcode".

use super::{Measured, Rendition};

pub(super) fn render(measured: &Measured) -> String {
    let starts = measured.start_ms;
    let level = measured.level_ms;
    let mut lines = vec![
        "| | measured | goal |".to_owned(),
        "|---|---|---|".to_owned(),
        format!(
            "| encoder process, cores | {:.3} | 0.25 |",
            measured.encoder_cores
        ),
        format!(
            "| ffmpeg alone, the same ladder from a file, cores | {:.3} | |",
            measured.floor_cores
        ),
        format!(
            "| the server beside it, cores | {:.3} | |",
            measured.server_cores
        ),
    ];
    if starts.count > 0 {
        lines.push(format!(
            "| cold rung: request → first chunk, ms p50 / max ({} starts) | {:.0} / {:.0} | a GOP and 1000 |",
            starts.count, starts.p50, starts.max
        ));
        lines.push(format!(
            "| cold rung: request → as far as the source, ms p50 / max | {:.0} / {:.0} | |",
            level.p50, level.max
        ));
    }
    lines.push(String::new());
    lines.push(
        "| rendition | kb/s | chunks/s | added p50, ms | p95 | p99 | max | container, % |"
            .to_owned(),
    );
    lines.push("|---|---|---|---|---|---|---|---|".to_owned());
    lines.extend(measured.renditions.iter().map(row));
    lines.push("| goal | | | 40 | 80 | | | 5 |".to_owned());
    if !measured.surprises.is_empty() {
        lines.push(String::new());
        lines.push(format!("{} surprises:", measured.surprises.len()));
        lines.extend(measured.surprises.iter().take(8).cloned());
    }
    lines.join("\n")
}

fn row(rendition: &Rendition) -> String {
    let added = rendition.added_ms.map_or_else(
        || "| | | ".to_owned(),
        |added| {
            format!(
                "{:.1} | {:.1} | {:.1} | {:.1}",
                added.p50, added.p95, added.p99, added.max
            )
        },
    );
    format!(
        "| {} | {:.0} | {:.1} | {added} | {:.2} |",
        rendition.name, rendition.kbps, rendition.chunks_per_second, rendition.overhead_percent
    )
}
