//! Days that are over: exported where that is asked for, and removed when they are old enough.
//!
//! A thread of its own, `usage-upkeep`, looks now and then. An export has the time of the file that it
//! was made from, so a look at both times tells whether a line has come since; it is then made anew.
//! It is written beside its place and moved there, so that nobody reads half of one.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use chrono::{Days, NaiveDate, Utc};

use super::file_of;
use crate::config::snapshot::terms::{Export, Format, Journal};
use crate::usage::csv;
use crate::usage::entry::{COLUMNS, Entry};
use crate::usage::report::entries;

/// How often it looks.
const LOOK: Duration = Duration::from_secs(60);

/// What is to be done with days that are over.
pub(super) struct Upkeep(Journal);

impl Upkeep {
    /// Starts the thread, where there is something to do; it ends when what is returned is dropped.
    ///
    /// # Errors
    /// Where the directory or the thread cannot be made.
    pub(super) fn start(settings: &Journal) -> io::Result<Option<Sender<()>>> {
        if settings.export.is_none() && settings.keep_days.is_none() {
            return Ok(None);
        }
        if let Some(export) = &settings.export {
            fs::create_dir_all(&export.directory)?;
        }
        let (living, until) = mpsc::channel();
        let upkeep = Self(settings.clone());
        let thread = std::thread::Builder::new().name("usage-upkeep".to_owned());
        // A process that leaves does not wait for it: what is half done is done anew.
        thread.spawn(move || upkeep.run(&until))?;
        Ok(Some(living))
    }

    fn run(self, until: &Receiver<()>) {
        loop {
            if let Err(error) = self.look(Utc::now().date_naive()) {
                log::error!("the usage journal's old files cannot be seen to: {error}");
            }
            if until.recv_timeout(LOOK) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }

    /// Sees to each day before this one. A day that should be exported and is not stays.
    fn look(&self, today: NaiveDate) -> io::Result<()> {
        let Self(Journal { directory, keep_days, export, .. }) = self;
        let first_kept = keep_days.and_then(|kept| today.checked_sub_days(Days::new(kept.into())));
        for file in fs::read_dir(directory)? {
            let name = file?.file_name();
            let Some(day) = name.to_str().and_then(day_of).filter(|day| *day < today) else {
                continue;
            };
            if let Some(export) = export {
                write(directory, day, export)?;
            }
            if first_kept.is_some_and(|first| day < first) {
                fs::remove_file(file_of(directory, day))?;
                log::info!("the usage journal of {day} is removed");
            }
        }
        Ok(())
    }
}

/// The day of a file of this name.
fn day_of(name: &str) -> Option<NaiveDate> {
    name.strip_prefix("usage-")?.strip_suffix(".jsonl")?.parse().ok()
}

/// Exports a day, unless that was done since its file changed.
fn write(directory: &Path, day: NaiveDate, export: &Export) -> io::Result<()> {
    let modified = fs::metadata(file_of(directory, day))?.modified()?;
    let target = export.directory.join(format!("usage-{day}.{}", export.format.name()));
    if fs::metadata(&target).and_then(|file| file.modified()).is_ok_and(|done| done == modified) {
        return Ok(());
    }
    let part = export.directory.join(format!(".usage-{day}.{}.part", export.format.name()));
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&part)?;
    // While a process hands over there are two.
    file.try_lock()?;
    file.set_len(0)?;
    let mut out = BufWriter::new(&file);
    if export.format == Format::Csv {
        csv::line(&mut out, COLUMNS)?;
    }
    entries(directory, (day, day), |_, entry| append(&mut out, &entry, export.format))?;
    out.flush()?;
    file.set_modified(modified)?;
    file.sync_all()?;
    fs::rename(&part, &target)
}

fn append(out: &mut impl Write, entry: &Entry, format: Format) -> io::Result<()> {
    match format {
        Format::Csv => csv::line(out, entry.fields()),
        Format::Jsonl => {
            serde_json::to_writer(&mut *out, entry)?;
            out.write_all(b"\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::Duration;

    use super::{Export, Format, Journal, Upkeep, file_of};

    const LINE: &str = r#"{"id":"00000000000000000000000000000001","began":"2026-01-30T10:00:00.000Z","tenant":"=cmd","team":"a,b","key":"k","model":"m","endpoint":"e","upstream_model":"u","operation":"chat","status":200,"usage_source":"reported","input":1,"cache_read":2,"cache_write":3,"output":4,"reasoning":5,"cost_micro_usd":6}"#;

    /// A journal of two days, and a third that is not over; what became of it.
    fn upkeep(at: &Path, format: Format, keep_days: Option<u32>) -> Upkeep {
        let (directory, out) = (at.join("in"), at.join("out"));
        fs::create_dir_all(&directory).unwrap();
        fs::create_dir_all(&out).unwrap();
        let second = LINE.replace("1\",\"began", "2\",\"began");
        let cut = &LINE[..50];
        let old = format!("{LINE}\n{second}\n{LINE}\n{cut}\n").replace("2026-01-30", "2025-11-30");
        fs::write(file_of(&directory, "2025-11-30".parse().unwrap()), old).unwrap();
        for day in ["2026-01-30", "2026-01-31"] {
            let line = LINE.replace("2026-01-30", day);
            fs::write(file_of(&directory, day.parse().unwrap()), format!("{line}\n")).unwrap();
        }
        let export = Some(Export { directory: out, format });
        Upkeep(Journal { directory, sync: Duration::ZERO, keep_days, export })
    }

    fn names(at: &Path) -> Vec<String> {
        let files = fs::read_dir(at).unwrap().map(|file| file.unwrap().file_name());
        let mut names: Vec<_> = files.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn days_that_are_over_are_exported_and_old_ones_removed() {
        let at = tempfile::tempdir().unwrap();
        let upkeep = upkeep(at.path(), Format::Csv, Some(32));
        upkeep.look("2026-01-31".parse().unwrap()).unwrap();
        assert_eq!(
            names(&at.path().join("in")),
            ["usage-2026-01-30.jsonl", "usage-2026-01-31.jsonl"]
        );
        let exported = ["usage-2025-11-30.csv", "usage-2026-01-30.csv"];
        assert_eq!(names(&at.path().join("out")), exported);
        let text = fs::read_to_string(at.path().join("out/usage-2025-11-30.csv")).unwrap();
        let lines: Vec<_> = text.split("\r\n").collect();
        assert_eq!(lines.len(), 4, "names, two requests, the last line's end: {text}");
        assert!(lines[0].starts_with("id,began,tenant,team,key,"), "{text}");
        let first = "00000000000000000000000000000001,2025-11-30T10:00:00.000Z,'=cmd,\"a,b\",k,m,e,u,\
                     chat,200,reported,1,2,3,4,5,6";
        assert_eq!(lines[1], first);
    }

    #[test]
    fn an_export_is_made_anew_only_where_its_day_got_a_line() {
        let at = tempfile::tempdir().unwrap();
        let upkeep = upkeep(at.path(), Format::Jsonl, None);
        let today = "2026-01-31".parse().unwrap();
        upkeep.look(today).unwrap();
        let out = at.path().join("out/usage-2026-01-30.jsonl");
        assert_eq!(fs::read_to_string(&out).unwrap(), format!("{LINE}\n"));
        let time = fs::metadata(&out).unwrap().modified().unwrap();
        fs::write(&out, "seen").unwrap();
        fs::File::options().write(true).open(&out).unwrap().set_modified(time).unwrap();
        upkeep.look(today).unwrap();
        assert_eq!(fs::read_to_string(&out).unwrap(), "seen", "nothing has changed");
        let source = file_of(&at.path().join("in"), "2026-01-30".parse().unwrap());
        let late = LINE.replace("1\",\"began", "9\",\"began");
        fs::write(&source, format!("{LINE}\n{late}\n")).unwrap();
        let later = time + Duration::from_secs(1);
        fs::File::options().write(true).open(&source).unwrap().set_modified(later).unwrap();
        upkeep.look(today).unwrap();
        assert_eq!(fs::read_to_string(&out).unwrap(), format!("{LINE}\n{late}\n"));
    }

    #[test]
    fn what_cannot_be_exported_is_not_removed() {
        let at = tempfile::tempdir().unwrap();
        let upkeep = upkeep(at.path(), Format::Csv, Some(32));
        fs::remove_dir(at.path().join("out")).unwrap();
        assert!(upkeep.look("2026-01-31".parse().unwrap()).is_err());
        assert_eq!(names(&at.path().join("in")).len(), 3);
    }
}
