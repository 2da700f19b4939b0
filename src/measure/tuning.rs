//! Where the picks of tiles come from: nowhere, a table that is shipped, or measurements here, kept in a file.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::gpu::AdapterSummary;
use crate::host::Cache;
use crate::kernel::link::MODULES;
use crate::kernel::tile::Family;
use crate::kernel::tiling::Picks;
use crate::named::{Elsewhere, Named, by_word};

/// How the kernels' tiles are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Tuning {
    /// By rules from the sizes and the kind of adapter.
    Off,
    /// By a table of what was the fastest on adapters of the kind, and by the rules for what is not in it. Measures nothing, and gives
    /// the same bits on the same adapter and driver.
    #[default]
    Table,
    /// By measuring: at the first step of a kind of product, every variant is compared with the plain one, and those that agree
    /// are timed. What was picked is kept in [`TrainOptions::tuning_cache`](crate::TrainOptions::tuning_cache), so that it is measured once.
    Auto,
}

impl Named for Tuning {
    const WHAT: &'static str = "a way to tune";
    const WORDS: &'static [(&'static str, Self)] =
        &[("off", Tuning::Off), ("table", Tuning::Table), ("auto", Tuning::Auto)];
    const ELSEWHERE: Elsewhere = &[(&["on", "true", "measure", "autotune"], "auto"), (&["no", "none", "false"], "off")];
}
by_word!(Tuning);

type Table = BTreeMap<String, BTreeMap<String, String>>;

/// What was measured before this version was shipped: by family and, in the words " · Mesa 25", the version of Mesa; then by kind of product.
const SHIPPED: &str = include_str!("shipped.json");

/// The shipped picks for a family: those measured on the newest version of Mesa that is not newer than the driver's, or else on the oldest.
pub(crate) fn shipped(family: Family, mesa_version: Option<u32>) -> Picks {
    let table: Table = serde_json::from_str(SHIPPED).unwrap_or_default();
    let family_name = family.to_string();
    let own = table.iter().filter_map(|(name, picks)| match name.split_once(" · Mesa ") {
        Some((of, version)) if of == family_name => Some((version.parse().ok()?, picks)),
        _ => (*name == family_name).then_some((0, picks)),
    });
    let mut own: Vec<(u32, _)> = own.collect();
    own.sort_by_key(|(version, _)| *version);
    let of_driver = mesa_version.and_then(|driver| own.iter().rfind(|(version, _)| *version <= driver));
    let picks: Picks = of_driver.or(own.first()).into_iter().flat_map(|(_, picks)| picks.iter()).collect();
    picks.valid(family)
}

/// What picks in a cache belong to: other drivers, other kernels and other tiles to choose from have others.
pub(crate) fn key(adapter: &AdapterSummary, family: Family) -> String {
    let mut kernels = DefaultHasher::new();
    MODULES.hash(&mut kernels);
    family.variants().iter().for_each(|tile| tile.to_string().hash(&mut kernels));
    let (version, kernels) = (env!("CARGO_PKG_VERSION"), kernels.finish());
    format!("{} · {} · {family} · wgrad {version} · kernels {kernels:016x}", adapter.name, adapter.driver)
}

/// The picks in a cache file that can be followed. A file that is not there, or is not one, has none: it costs a measurement, not a
/// run.
pub(crate) fn cached(file: &dyn Cache, adapter: &AdapterSummary, family: Family) -> Picks {
    let picks: Picks = read(file).get(&key(adapter, family)).into_iter().flatten().collect();
    picks.valid(family)
}

/// Adds picks to a cache file, which is replaced as a whole: a process that reads it meanwhile has the old one, and one that adds to it waits. A
/// cache that cannot be written is a warning, and no error.
pub(crate) fn keep(file: &dyn Cache, key: &str, picks: &Picks) {
    let _alone = file.lock();
    let mut table = read(file);
    let entry = table.entry(key.into()).or_default();
    entry.extend(picks.iter().map(|(shape, tile)| (shape.to_string(), tile.to_string())));
    // Maps of text alone.
    file.write(serde_json::to_string_pretty(&table).unwrap_or_default().as_bytes());
}

fn read(file: &dyn Cache) -> Table {
    /// More than any adapter has kinds of product.
    const MOST_BYTES: u64 = 4 << 20;
    let path = file.path().display();
    match file.read(MOST_BYTES) {
        Ok(Some(text)) => serde_json::from_slice(&text).unwrap_or_else(|error| {
            tracing::warn!(%error, %path, "not a tuning cache");
            Table::new()
        }),
        Ok(None) => Table::new(),
        Err(bytes) => {
            tracing::warn!(%path, bytes, "too large to be a tuning cache, or no file");
            Table::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::native;

    /// Two runs that end their tuning at once, and one's picks are lost, or the file is half of each.
    #[test]
    fn picks_that_are_kept_at_once_are_all_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = native().cache(&folder.path().join("deep/tuning.json")).unwrap();
        let key = |thread: u32, time: u32| format!("adapter {thread} of time {time}");
        let picks: Picks = [("dense_update set_u8 16×16×8", "naive")].into_iter().collect();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (file, picks) = (&*file, &picks);
                scope.spawn(move || (0..10).for_each(|time| keep(file, &key(thread, time), picks)));
            }
        });
        let table = read(&*file);
        for (thread, time) in (0..8).flat_map(|thread| (0..10).map(move |time| (thread, time))) {
            assert_eq!(table[&key(thread, time)].len(), 1, "{thread} {time}");
        }
        assert_eq!(table.len(), 80);
    }

    /// A lock that a program holds which was stopped, and every process that waits for it for ever.
    #[test]
    fn a_lock_that_is_never_let_go_does_not_end_a_run() {
        let folder = tempfile::tempdir().unwrap();
        let file = native().cache(&folder.path().join("tuning.json")).unwrap();
        let _stopped = file.lock().unwrap();
        let picks: Picks = [("dense_update set_u8 16×16×8", "naive")].into_iter().collect();
        keep(&*file, "key", &picks);
        assert_eq!(read(&*file).len(), 1);
    }

    /// A shipped table that is no table, or names what there is not: `table` would be `off`, and no error would say so.
    #[test]
    fn the_shipped_table_can_be_followed() {
        let table: Table = serde_json::from_str(SHIPPED).unwrap();
        let families =
            [true, false].map(|words_64| [4, 8, 16].map(|lanes| Family::Subgroups { lanes, words_64 })).concat();
        let known = [families, vec![Family::Software, Family::Hardware]].concat();
        for (name, picks) in &table {
            let (of, version) = name.split_once(" · Mesa ").unwrap_or((name, "0"));
            let family = *known.iter().find(|family| family.to_string() == *of).unwrap();
            let found = shipped(family, version.parse().ok());
            assert!(found.iter().eq(picks.iter().map(|(shape, tile)| (shape.as_str(), tile.as_str()))), "{name}");
            assert!(!picks.is_empty(), "{name}");
        }
        assert!(!table.is_empty());
    }
}
