//! What a person sees of `adtally dev`, and the file by which other programs join in.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::DevArgs;

/// The facts of a running environment: URLs and process ids.
#[derive(Debug, Clone)]
pub(super) struct Board {
    data_dir: Arc<Path>,
    facts: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Board {
    pub(super) fn new(data_dir: &Path) -> Self {
        Self {
            data_dir: data_dir.into(),
            facts: Arc::default(),
        }
    }

    /// Notes a fact. Call [`Self::write_env`] once all facts of a change are noted.
    pub(super) fn set(&self, name: &str, value: impl Into<String>) {
        self.facts().insert(name.to_owned(), value.into());
    }

    /// Replaces `<data-dir>/env` atomically: whoever reads it sees a whole file.
    ///
    /// # Errors
    /// When the data directory cannot be written to.
    pub(super) fn write_env(&self) -> io::Result<()> {
        let mut text = String::new();
        for (name, value) in self.facts().iter() {
            text.push_str(&format!(
                "export {name}='{}'\n",
                value.replace('\'', r"'\''")
            ));
        }
        let new = self.data_dir.join("env.new");
        let mut file = private_file(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(new, self.env_file())
    }

    /// Removes the file: what it names is gone.
    pub(super) fn remove_env(&self) {
        // Missing when the start failed before the file was written.
        let _missing = std::fs::remove_file(self.env_file());
    }

    /// Prints one line.
    pub(super) fn say(&self, line: &str) {
        print(&format!("adtally dev: {line}\n"));
    }

    /// Prints the block with everything a person needs to start.
    pub(super) fn announce(&self, args: &DevArgs) {
        let facts = self.facts();
        let fact = |name: &str| facts.get(name).map_or("not started", String::as_str);
        let env = self.env_file();
        let mut lines = vec![String::new()];
        if !args.services_only {
            let api = fact("ADTALLY_API_URL");
            lines.push(format!("  API         {api}"));
            lines.push(format!("  API docs    {api}/api-docs/"));
            lines.push(format!("  health      {api}/readyz"));
        }
        lines.push(format!("  PostgreSQL  {}", fact("ADTALLY_DATABASE_URL")));
        lines.push(format!("  RabbitMQ    {}", fact("ADTALLY_AMQP_URL")));
        lines.push(format!(
            "  logs        {}",
            self.data_dir.join("log").display()
        ));
        lines.push(format!("  join in     . {}", env.display()));
        lines.push("  stop        Ctrl-C".to_owned());
        lines.push("\n".to_owned());
        print(&lines.join("\n"));
    }

    fn env_file(&self) -> PathBuf {
        self.data_dir.join("env")
    }

    fn facts(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, String>> {
        // A panic elsewhere leaves the map whole: each change is one insert.
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The file holds passwords.
fn private_file(path: &Path) -> io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

fn print(text: &str) {
    let mut out = io::stdout().lock();
    // Nobody reads on when standard output is closed; the processes run all the same.
    let _closed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
