//! The usage journal: where and how it is kept.

use super::{Surroundings, limits};
use crate::config::raw::terms as raw;
use crate::config::snapshot::terms::{Export, Format, Journal};
use crate::config::spot::Spot;

/// The first month's budgets are restored from so many days.
const KEEP_DAYS_MIN: u32 = 32;

/// Ten years.
const KEEP_DAYS_MAX: u32 = 3660;

/// How the journal is kept; what belongs to one is refused where there is none.
pub(super) fn journal(
    raw: &raw::Usage,
    spot: &Spot<'_>,
    around: &Surroundings<'_>,
) -> Option<Journal> {
    let Some(path) = &raw.journal else {
        let named = [
            ("sync_ms", raw.sync_ms.is_some()),
            ("keep_days", raw.keep_days.is_some()),
            ("export", raw.export.is_some()),
        ];
        for (name, _) in named.into_iter().filter(|(_, is_there)| *is_there) {
            spot.key(name).refuse("has no effect without `journal`".to_owned());
        }
        return None;
    };
    let (keep, place) = (raw.keep_days, spot.key("keep_days"));
    Some(Journal {
        directory: around.directory(path, &spot.key("journal")),
        sync: limits::millis_or_zero(raw.sync_ms, 1000, &spot.key("sync_ms")),
        keep_days: keep
            .map(|days| limits::within(Some(days), days, KEEP_DAYS_MIN..=KEEP_DAYS_MAX, &place)),
        export: raw.export.as_ref().map(|export| Export {
            directory: around.directory(&export.dir, &spot.key("export").key("dir")),
            format: match export.format {
                raw::ExportFormat::Csv => Format::Csv,
                raw::ExportFormat::Jsonl => Format::Jsonl,
            },
        }),
    })
}
