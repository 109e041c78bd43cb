//! Back ends that count for themselves: many members in one process, each on a port or a unix
//! socket of its own, steered and read through one control port.
//!
//! Prints one line of JSON for the control port and one a member when all listen, and exits when
//! its standard input closes, so that it never outlives who started it.

#![forbid(unsafe_code)]

mod answer;
mod behaviour;
mod control;
mod http;
mod member;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use serde_json::{Value, json};

use crate::http::{Connection, Socket};
use crate::member::Member;

const USAGE: &str = "athena-backend [--members N] [--first N] [--port P | --unix DIR] [--ids FILE]

  --members N  how many members to serve (default 1)
  --first N    number of the first member (default 0)
  --port P     port of the first member, the others follow (default: free ports)
  --unix DIR   listen on DIR/member-N.sock instead
  --ids FILE   append 'MEMBER METHOD ID' for every request that carries X-Id";

/// Stack of a connection's thread: thousands may sleep at a time.
const STACK: usize = 128 * 1024;

struct Options {
    members: usize,
    first: usize,
    port: u16,
    unix: Option<PathBuf>,
    ids: Option<PathBuf>,
}

fn options() -> Result<Options, lexopt::Error> {
    use lexopt::prelude::{Long, ValueExt};
    let mut options = Options {
        members: 1,
        first: 0,
        port: 0,
        unix: None,
        ids: None,
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("members") => options.members = parser.value()?.parse()?,
            Long("first") => options.first = parser.value()?.parse()?,
            Long("port") => options.port = parser.value()?.parse()?,
            Long("unix") => options.unix = Some(parser.value()?.into()),
            Long("ids") => options.ids = Some(parser.value()?.into()),
            Long("help") => {
                println!("{USAGE}");
                std::process::exit(0);
            }
            other => return Err(other.unexpected()),
        }
    }
    Ok(options)
}

fn main() {
    let result = options()
        .map_err(io::Error::other)
        .and_then(|options| run(&options));
    if let Err(error) = result {
        eprintln!("athena-backend: {error}");
        std::process::exit(1);
    }
}

fn run(options: &Options) -> io::Result<()> {
    let ids = match &options.ids {
        Some(path) => Some(Arc::new(append_only(path)?)),
        None => None,
    };
    let members: Arc<[Arc<Member>]> = (options.first..options.first + options.members)
        .map(|number| Arc::new(Member::new(number, ids.clone())))
        .collect();

    let control = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut lines = vec![json!({ "control": control.local_addr()?.port() })];
    let all = Arc::clone(&members);
    accept(
        move || control.accept().map(|(stream, _)| stream),
        move |c| control::serve(c, &all),
    )?;
    for (offset, member) in (0..).zip(members.iter()) {
        lines.push(listen(options, offset, member)?);
    }

    let mut out = io::stdout().lock();
    for line in lines {
        writeln!(out, "{line}")?;
    }
    out.flush()?;
    io::copy(&mut io::stdin().lock(), &mut io::sink()).map(drop)
}

/// One write a line to a file opened for appending never mixes lines, also between processes.
fn append_only(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Starts a member and tells where it listens.
fn listen(options: &Options, offset: u16, member: &Arc<Member>) -> io::Result<Value> {
    let number = member.number;
    let member = Arc::clone(member);
    if let Some(dir) = &options.unix {
        let path = dir.join(format!("member-{number}.sock"));
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let listener = UnixListener::bind(&path)?;
        // httpd's children run as another user.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777))?;
        accept(
            move || listener.accept().map(|(stream, _)| stream),
            move |c| answer::serve(c, &member),
        )?;
        return Ok(json!({ "member": number, "unix": path }));
    }
    let port = if options.port == 0 {
        0
    } else {
        options.port + offset
    };
    // The standard library sets SO_REUSEADDR: a killed member comes back on its port at once.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    let port = listener.local_addr()?.port();
    let next = move || {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    accept(next, move |c| answer::serve(c, &member))?;
    Ok(json!({ "member": number, "port": port }))
}

/// Serves every connection that `next` yields, each in a thread of its own.
fn accept<S: Socket>(
    next: impl Fn() -> io::Result<S> + Send + 'static,
    serve: impl Fn(Connection<S>) + Clone + Send + 'static,
) -> io::Result<()> {
    let each = move || {
        loop {
            let Ok(stream) = next() else { continue };
            let serve = serve.clone();
            // A thread that cannot be had is a connection refused.
            let _ = thread::Builder::new()
                .stack_size(STACK)
                .spawn(move || serve(Connection::new(stream)));
        }
    };
    thread::Builder::new().spawn(each).map(drop)
}
