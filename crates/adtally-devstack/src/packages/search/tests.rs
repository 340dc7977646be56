use std::fs;
use std::os::unix::fs::symlink;

use super::*;
use crate::secret::random_word;

/// A file system of its own, with an empty PATH.
struct Root(PathBuf);

impl Root {
    fn new() -> Self {
        let name = format!("adtally-search-{}", random_word(8));
        Self(std::env::temp_dir().join(name))
    }

    fn with(self, dir: &str, programs: &[&str]) -> Self {
        fs::create_dir_all(self.0.join(dir)).unwrap();
        for program in programs {
            fs::write(self.0.join(dir).join(program), "").unwrap();
        }
        self
    }

    fn with_rabbitmq(self) -> Self {
        let scripts = ["rabbitmq-server", "rabbitmqctl", "rabbitmq-env"];
        self.with("usr/lib/rabbitmq/bin", &scripts)
            .with("usr/bin", &["epmd"])
    }

    fn search(&self, path: &str) -> Search {
        Search {
            root: self.0.clone(),
            path: self.0.join(path).into_os_string(),
            as_root: false,
        }
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const POSTGRES: [&str; 3] = ["postgres", "initdb", "psql"];

#[test]
fn the_newest_complete_postgresql_is_taken() {
    let root = Root::new()
        .with_rabbitmq()
        .with("usr/lib/postgresql/9/bin", &POSTGRES)
        .with("usr/lib/postgresql/15/bin", &POSTGRES)
        .with("usr/lib/postgresql/17/bin", &["psql"]);
    let found = root.search("nowhere").find().unwrap();
    assert_eq!(found.postgres_bin, root.0.join("usr/lib/postgresql/15/bin"));
    assert_eq!(found.rabbitmq_bin, root.0.join("usr/lib/rabbitmq/bin"));
    assert_eq!(found.epmd, root.0.join("usr/bin/epmd"));
}

#[test]
fn a_link_on_the_path_leads_to_the_real_directory() {
    let root = Root::new()
        .with_rabbitmq()
        .with("opt/pg/bin", &POSTGRES)
        .with("bin", &[]);
    symlink(root.0.join("opt/pg/bin/initdb"), root.0.join("bin/initdb")).unwrap();
    let found = root.search("bin").find().unwrap();
    assert_eq!(
        found.postgres_bin,
        root.0.canonicalize().unwrap().join("opt/pg/bin")
    );
}

#[test]
fn the_wrapper_that_accepts_only_root_is_not_taken() {
    let root = Root::new().with("sbin", &["rabbitmq-server", "rabbitmqctl", "epmd"]);
    let missing = root.search("sbin").find().unwrap_err();
    assert_eq!(
        missing,
        Missing {
            servers: vec![Server::Postgres, Server::Rabbitmq],
            as_root: false
        }
    );
}

#[test]
fn what_is_missing_is_named_with_the_exact_command() {
    let text = |missing: Missing| missing.error().to_string();
    let root = Root::new().with_rabbitmq();
    assert_eq!(
        text(root.search("nowhere").find().unwrap_err()),
        "PostgreSQL is not installed; install it with: sudo apt-get update && \
         sudo apt-get install -y --no-install-recommends postgresql"
    );
    let root = Root::new().with("usr/lib/postgresql/15/bin", &POSTGRES);
    assert_eq!(
        text(root.search("nowhere").find().unwrap_err()),
        "RabbitMQ is not installed; install it with: sudo apt-get update && \
         sudo apt-get install -y --no-install-recommends rabbitmq-server"
    );
    let nothing = Root::new().search("nowhere").find().unwrap_err().error();
    assert!(nothing.is_unavailable());
    assert_eq!(
        nothing.to_string(),
        "PostgreSQL and RabbitMQ are not installed; install them with: sudo apt-get update && \
         sudo apt-get install -y --no-install-recommends postgresql rabbitmq-server"
    );
}

#[test]
fn root_is_told_to_do_without_sudo() {
    let missing = Missing {
        servers: vec![Server::Postgres, Server::Rabbitmq],
        as_root: true,
    };
    assert_eq!(
        missing.command(),
        "apt-get update && \
         apt-get install -y --no-install-recommends postgresql rabbitmq-server"
    );
}

#[test]
fn pgbouncer_is_taken_from_where_it_is_packaged_else_from_the_path() {
    let root = Root::new().with("bin", &["pgbouncer"]);
    let on_path = root.search("bin").pgbouncer().unwrap();
    assert_eq!(
        on_path,
        root.0.canonicalize().unwrap().join("bin/pgbouncer")
    );
    let missing = root.search("nowhere").pgbouncer().unwrap_err();
    assert_eq!(missing.packages(), ["pgbouncer"]);
    let root = root.with("usr/sbin", &["pgbouncer"]);
    let packaged = root.search("bin").pgbouncer().unwrap();
    assert_eq!(packaged, root.0.join("usr/sbin/pgbouncer"));
}
