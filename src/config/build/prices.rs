//! Prices: from the file and from the list beside it, by model and by provider and model.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::NaiveDate;
use serde::Deserialize;

use super::{Surroundings, limits, name};
use crate::config::problems::Report;
use crate::config::raw::prices::{self as raw, PriceFile};
use crate::config::shape;
use crate::config::snapshot::prices::{Price, Prices};
use crate::config::spot::Spot;
use crate::config::yaml;
use crate::types::ModelName;

/// The highest price: a dollar a token, or a million dollars a piece.
const PRICE_MAX: u64 = 1_000_000_000_000;

/// Every price, by its name in the file.
pub(super) struct PriceList(BTreeMap<String, Prices>);

impl PriceList {
    /// What a model costs at a provider.
    pub(super) fn of(&self, provider: &str, model: &ModelName) -> Prices {
        let own = self.0.get(&format!("{provider}/{model}"));
        own.or_else(|| self.0.get(model.as_str())).cloned().unwrap_or_default()
    }

    /// Whether there is none at all.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Reads the prices.
pub(super) fn prices(raw: &raw::Prices, spot: &Spot<'_>, around: &Surroundings<'_>) -> PriceList {
    let mut list = raw.file.as_ref().map_or_else(BTreeMap::new, |path| {
        let place = spot.key("file");
        read(&around.path(path)).unwrap_or_else(|why| {
            place.refuse(format!("`{}` {why}", path.display()));
            BTreeMap::new()
        })
    });
    list.extend(models(&raw.models, &spot.key("models")));
    PriceList(list)
}

fn models(raw: &BTreeMap<String, Vec<raw::Price>>, spot: &Spot<'_>) -> BTreeMap<String, Prices> {
    let model = |(model, rows): (&String, &Vec<raw::Price>)| {
        name(model, &spot.name_of(model));
        (model.clone(), rows_of(rows, &spot.key(model)))
    };
    raw.iter().map(model).collect()
}

/// A list in a file of its own. Its problems become one: they stand in another file.
fn read(path: &std::path::Path) -> Result<BTreeMap<String, Prices>, String> {
    let text = crate::config::read(path)?;
    let tree = yaml::read(&text).map_err(|problem| format!("is not YAML: {}", problem.text))?;
    let report = Report::default();
    let root = Spot::root(&tree, &report);
    let schema = schemars::schema_for!(PriceFile).to_value();
    let repaired = shape::check(&schema, &root);
    let raw = PriceFile::deserialize(repaired).unwrap_or_default();
    let list = models(&raw.models, &root.key("models"));
    let wrong = |problems: crate::config::Problems| {
        format!("is wrong: {}", problems.lines().collect::<Vec<_>>().join("; "))
    };
    report.finish(&path.display().to_string()).map(|()| list).map_err(wrong)
}

fn rows_of(raw: &[raw::Price], spot: &Spot<'_>) -> Prices {
    if raw.is_empty() {
        spot.refuse("must have at least one price");
    }
    let mut rows: Vec<Price> = Vec::with_capacity(raw.len());
    for (index, raw) in raw.iter().enumerate() {
        let place = spot.item(index);
        let row = row(raw, &place);
        if rows.last().is_some_and(|before| before.from >= row.from) {
            place.key("from").refuse("must be later than that of the price before it");
        }
        rows.push(row);
    }
    Prices(Some(Arc::from(rows)))
}

fn row(raw: &raw::Price, spot: &Spot<'_>) -> Price {
    let price = |key: &str, value: Option<u64>, default: u64| {
        limits::within(value, default, 0..=PRICE_MAX, &spot.key(key))
    };
    let (input, output) = (price("input", raw.input, 0), price("output", raw.output, 0));
    Price {
        from: raw.from.as_deref().map_or(NaiveDate::MIN, |text| day(text, &spot.key("from"))),
        input,
        cache_read: price("cache_read", raw.cache_read, input),
        cache_write: price("cache_write", raw.cache_write, input),
        output,
        reasoning: price("reasoning", raw.reasoning, output),
        image: price("image", raw.image, 0),
        request: price("request", raw.request, 0),
    }
}

fn day(text: &str, spot: &Spot<'_>) -> NaiveDate {
    NaiveDate::parse_from_str(text, "%Y-%m-%d").unwrap_or_else(|_| {
        spot.refuse(format!("`{text}` is not a day, such as `2026-01-31`"));
        NaiveDate::MIN
    })
}
