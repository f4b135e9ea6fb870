//! Options that every command takes.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::{
    config::{Config, ConfigError, DEFAULT_PATH},
    control::{client::Client, socket_in},
};

/// Where things are, and the form of answers.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Configuration file; its conf.d folder lies beside it [default: /etc/bot-agent/bot-agent.toml]
    #[arg(long, short, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Control socket [default: control.sock in the run folder]
    #[arg(long, global = true, value_name = "PATH")]
    pub socket: Option<PathBuf>,

    /// Folder of the control socket and the lock
    #[arg(long, global = true, value_name = "DIR")]
    pub run_dir: Option<PathBuf>,

    /// Folder for the kernel tables, on a bpffs
    #[arg(long, global = true, value_name = "DIR")]
    pub pin_dir: Option<PathBuf>,

    /// Folder of the rule store
    #[arg(long, global = true, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// Form of the answer
    #[arg(
        long,
        short,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORM"
    )]
    pub output: Output,
}

/// Form of an answer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum Output {
    /// Sentences and tables
    #[default]
    Human,
    /// JSON, one object a line
    Json,
    /// Bare values separated by tabs, for shell pipelines
    #[value(alias = "tsv")]
    Raw,
}

/// The folders in force: options before configuration before defaults.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Places {
    /// Of the control socket and the lock.
    pub run_dir: PathBuf,
    /// The control socket.
    pub socket: PathBuf,
    /// Of the kernel tables.
    pub pin_dir: PathBuf,
    /// Of the rule store.
    pub state_dir: PathBuf,
}

impl Global {
    /// The configuration file that applies.
    pub fn config_path(&self) -> &Path {
        self.config.as_deref().unwrap_or(Path::new(DEFAULT_PATH))
    }

    /// The configuration. A file that nobody named may be missing: then defaults apply.
    pub fn load_config(&self) -> Result<Config, ConfigError> {
        if self.config.is_none() && !self.config_path().exists() {
            return Ok(Config::default());
        }
        Config::load(self.config_path(), None)
    }

    /// The folders, given the configuration.
    pub fn places(&self, config: &Config) -> Places {
        let or = |given: &Option<PathBuf>, configured: &Path| {
            given.clone().unwrap_or_else(|| configured.to_owned())
        };
        let socket = match (&self.socket, &self.run_dir) {
            (Some(socket), _) => socket.clone(),
            (None, Some(run_dir)) => socket_in(run_dir),
            (None, None) => config.control.socket.clone(),
        };
        Places {
            socket,
            run_dir: or(&self.run_dir, &config.agent.run_dir),
            pin_dir: or(&self.pin_dir, &config.agent.pin_dir),
            state_dir: or(&self.state_dir, &config.agent.state_dir),
        }
    }

    /// The folders for a command that only looks for the agent. A configuration that is not
    /// readable for this user, or wrong, must not keep anybody from asking: defaults apply then.
    pub fn places_of_client(&self) -> Places {
        self.places(&self.load_config().unwrap_or_default())
    }

    /// Connects to the agent.
    pub fn connect(&self) -> anyhow::Result<Client> {
        Ok(Client::connect(&self.places_of_client().socket)?)
    }
}
