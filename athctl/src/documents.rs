//! The engine's documents, as far as the commands look at them. What they do not know they pass
//! over: an engine may be newer than this program.

use serde::Deserialize;

/// `/api/v1/farms`.
#[derive(Clone, Debug, Deserialize)]
pub struct Farms {
    pub farms: Vec<Farm>,
}

/// One farm.
#[derive(Clone, Debug, Deserialize)]
pub struct Farm {
    pub name: String,
    pub server: String,
    pub method: String,
    pub on: bool,
    pub usable: usize,
    pub elected: u64,
    #[serde(default)]
    pub refused: u64,
    #[serde(default)]
    pub queued: u64,
    pub members: Vec<Member>,
}

/// One member.
#[derive(Clone, Debug, Deserialize)]
pub struct Member {
    pub name: String,
    pub route: String,
    pub weight: f64,
    pub lbset: u32,
    pub on: bool,
    pub up: bool,
    #[serde(rename = "in")]
    pub reporting: bool,
    pub drain: bool,
    pub standby: bool,
    pub usable: bool,
    #[serde(default)]
    pub error: Option<String>,
    #[serde(default)]
    pub agent: Option<String>,
    pub inflight: u64,
    pub elected: u64,
    pub served: u64,
    pub failed: u64,
    pub ttfb_ewma_ms: Option<f64>,
}

/// What holds a member besides what people set, to stand behind its state.
pub fn behind(error: Option<&str>, agent: Option<&str>) -> String {
    match (error, agent) {
        (None, None) => String::new(),
        (Some(error), None) => format!(" ({error})"),
        (None, Some(said)) => format!(" (agent: {said})"),
        (Some(error), Some(said)) => format!(" ({error}, agent: {said})"),
    }
}

impl Farm {
    /// `NAME`, with its server where that is not the main one.
    pub fn full_name(&self) -> String {
        if self.server == "main" {
            self.name.clone()
        } else {
            format!("{}@{}", self.name, self.server)
        }
    }

    /// Members that cannot be chosen now.
    pub fn unusable(&self) -> usize {
        self.members.len().saturating_sub(self.usable)
    }
}

impl Member {
    /// Its state, with what is behind it: `down (no connection)`, `ok (agent: up ready 50%)`.
    pub fn told(&self) -> String {
        let behind = behind(self.error.as_deref(), self.agent.as_deref());
        self.state().to_owned() + &behind
    }

    /// One word for a table, the gravest first.
    pub fn state(&self) -> &'static str {
        match self {
            Self { on: false, .. } => "off",
            Self { up: false, .. } => "down",
            Self {
                reporting: false, ..
            } => "out",
            Self { drain: true, .. } => "drain",
            Self { standby: true, .. } => "standby",
            Self { usable: false, .. } => "unusable",
            _ => "ok",
        }
    }
}
