//! The module's directives. The old ones (`AthFarm`, `LBServerCluster`, `LBProxyPass`) are turned
//! into mod_proxy's lines before httpd looks them up ([`crate::tree`]); they are declared here for
//! the places where that does not happen, so that httpd says where they belong.

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use athena_engine::config::allow::Allowed;
use athena_engine::config::own;
use athena_engine::config::param::MemberParams;
use athena_engine::config::qos::Qos;
use athena_engine::config::trust::Trust;
use athena_engine::config::words;
use athena_engine::cookie;

use crate::conf::{self, BoardFile, EnginePath, ServerConf, UpdateKey};
use crate::guard::guard;
use crate::naming::text;
use crate::{ffi, pool, proxy};

mod member;

/// What a directive's reader gives: an error text for the administrator.
type Reading = Result<(), String>;
type Reader = fn(&Line) -> Reading;

/// One line being read.
struct Line {
    parms: *mut ffi::cmd_parms,
    section: *mut c_void,
    args: String,
}

/// The line that [`crate::tree`] inserts for parameters of ours:
/// `AthParams DIRECTIVE FARM MEMBER key=value…`.
pub const PARAMS: &CStr = c"AthParams";
/// The line it inserts for a farm that `AthFarm` or `LBServerCluster` declared: `AthDeclared FARM`.
pub const DECLARED: &CStr = c"AthDeclared";
/// The line it inserts into a `<Proxy>` section that holds rules for requests.
pub const RULES: &CStr = c"AthRules";
/// The line it puts in the place of one that is wrong: `AthError MESSAGE`.
pub const ERROR: &CStr = c"AthError";

macro_rules! directive {
    ($name:expr, $reader:expr, $context:expr, $help:expr) => {{
        unsafe extern "C" fn entry(
            parms: *mut ffi::cmd_parms,
            section: *mut c_void,
            args: *const c_char,
        ) -> *const c_char {
            guard!("directive", c"mod_athena: internal error".as_ptr(), {
                // SAFETY: httpd calls with a live line and NUL-terminated arguments.
                unsafe { read(parms, section, args, $reader) }
            })
        }
        ffi::command_rec {
            name: $name.as_ptr(),
            func: ffi::cmd_func {
                raw_args: Some(entry),
            },
            cmd_data: std::ptr::null_mut(),
            req_override: $context,
            args_how: ffi::RAW_ARGS,
            errmsg: $help.as_ptr(),
        }
    }};
}

const SERVER: c_int = ffi::RSRC_CONF;
const ANYWHERE: c_int = ffi::RSRC_CONF | ffi::ACCESS_CONF;

/// httpd's table of our directives.
pub struct Table(&'static [ffi::command_rec]);

// SAFETY: read-only data; the pointers in it are to static strings.
unsafe impl Sync for Table {}

impl Table {
    /// As the module record wants it.
    pub const fn as_ptr(&'static self) -> *const ffi::command_rec {
        self.0.as_ptr()
    }
}

pub static TABLE: Table = Table(&[
    directive!(
        c"AthEngine",
        engine,
        SERVER,
        c"On or Off: whether farms are served by this module"
    ),
    directive!(
        c"AthSHMFile",
        board_file,
        SERVER,
        c"the board's file, or none"
    ),
    directive!(
        c"AthPath",
        path,
        SERVER,
        c"the path the engine answers at, or none"
    ),
    directive!(
        c"AthTrust",
        trust,
        SERVER,
        c"networks that may ask the engine, all or none"
    ),
    directive!(
        c"AthUpdateKey",
        update_key,
        SERVER,
        c"the key with which a GET may change states: file:PATH"
    ),
    directive!(
        c"AthMemberAllow",
        member_allow,
        SERVER,
        c"hosts that people may have requests sent to at run time, or none"
    ),
    directive!(
        c"AthQos",
        qos,
        SERVER,
        c"a class of requests: CLASS priority=N [farm=NAME] [reserve=PERCENT]"
    ),
    directive!(
        c"AthCookieName",
        cookie_name,
        SERVER,
        c"the name of the cookie that back ends sign"
    ),
    directive!(
        c"AthCookieKey",
        cookie_key,
        SERVER,
        c"a key for that cookie: ID file:PATH"
    ),
    directive!(
        c"AthCookieMode",
        cookie_mode,
        SERVER,
        c"pass or wrap: whether clients see that cookie or a handle"
    ),
    directive!(
        c"AthMaxEmbed",
        max_embed,
        SERVER,
        c"most requests in one query"
    ),
    directive!(
        c"AthAllowDiverseMulti",
        diverse,
        SERVER,
        c"On or Off: requests of different kinds in one query"
    ),
    directive!(
        c"AthFarm",
        misplaced,
        SERVER,
        c"a farm: NAME URL [URL...] [key=value...]"
    ),
    directive!(
        c"LBServerCluster",
        misplaced,
        SERVER,
        c"a member of a farm: NAME URL"
    ),
    directive!(
        c"LBProxyPass",
        misplaced,
        SERVER,
        c"a path served by a farm: PATH NAME"
    ),
    directive!(
        PARAMS,
        params,
        ANYWHERE,
        c"inserted by mod_athena for its parameters"
    ),
    directive!(
        DECLARED,
        declared,
        ANYWHERE,
        c"inserted by mod_athena for AthFarm and LBServerCluster"
    ),
    directive!(
        RULES,
        rules,
        ANYWHERE,
        c"inserted by mod_athena into <Proxy> sections with rules"
    ),
    directive!(
        ERROR,
        error,
        ANYWHERE,
        c"inserted by mod_athena in place of a line that is wrong"
    ),
    ffi::command_rec {
        name: std::ptr::null(),
        func: ffi::cmd_func { raw_args: None },
        cmd_data: std::ptr::null_mut(),
        req_override: 0,
        args_how: ffi::RAW_ARGS,
        errmsg: std::ptr::null(),
    },
]);

unsafe fn read(
    parms: *mut ffi::cmd_parms,
    section: *mut c_void,
    args: *const c_char,
    reader: Reader,
) -> *const c_char {
    // SAFETY: the caller's promise.
    let args = unsafe { CStr::from_ptr(args) }
        .to_string_lossy()
        .into_owned();
    match reader(&Line {
        parms,
        section,
        args,
    }) {
        Ok(()) => std::ptr::null(),
        // SAFETY: the caller's promise; the text must outlive this call, in the line's pool.
        Err(text) => unsafe { pool::text((*parms).pool, &text).cast_const() },
    }
}

impl Line {
    fn server(&self) -> Result<&'static mut ServerConf, String> {
        // SAFETY: httpd reads a line for a live server, one after the other; the reader of one has this
        // reference alone.
        unsafe { ServerConf::of_mut((*self.parms).server) }.ok_or_else(|| "no server".to_owned())
    }

    /// Refuses the line outside the main server.
    fn main_server_only(&self) -> Reading {
        // SAFETY: httpd calls with a live line; the answer is NULL or a text in its pool.
        unsafe {
            let error = ffi::ap_check_cmd_context(self.parms, ffi::GLOBAL_ONLY as _);
            if error.is_null() {
                return Ok(());
            }
            Err(CStr::from_ptr(error).to_string_lossy().into_owned())
        }
    }

    /// `FILE:LINE`.
    fn place(&self) -> String {
        // SAFETY: httpd calls with a live line; its place is set while it is read.
        unsafe {
            let directive = (*self.parms).directive.as_ref();
            directive.map_or_else(String::new, |directive| {
                format!("{}:{}", text(directive.filename), directive.line_num)
            })
        }
    }

    fn words(&self) -> Vec<String> {
        words::split(&self.args)
            .map(std::borrow::Cow::into_owned)
            .collect()
    }

    /// A path, below `ServerRoot` where it is relative.
    fn path(&self, path: &str) -> PathBuf {
        // SAFETY: httpd calls with a live line; the answer is NULL or a path in its pool.
        unsafe {
            let pool = (*self.parms).temp_pool;
            let whole = ffi::ap_server_root_relative(pool, pool::text(pool, path));
            if whole.is_null() {
                return PathBuf::from(path);
            }
            PathBuf::from(OsStr::from_bytes(CStr::from_ptr(whole).to_bytes()))
        }
    }
}

fn engine(line: &Line) -> Reading {
    line.main_server_only()?;
    let on = own::on_off("AthEngine", &line.args)?;
    if on && proxy::get().is_none() {
        return Err(
            "AthEngine On: mod_proxy is not loaded; add LoadModule proxy_module (in \
                    Debian: a2enmod proxy proxy_http)"
                .to_owned(),
        );
    }
    line.server()?.engine = on;
    Ok(())
}

fn board_file(line: &Line) -> Reading {
    line.main_server_only()?;
    let file = own::board_file(&line.args)?.map_or(BoardFile::None, BoardFile::Path);
    line.server()?.board_file = Some(file);
    Ok(())
}

fn path(line: &Line) -> Reading {
    let path = own::path(&line.args)?.map_or(EnginePath::Off, EnginePath::At);
    line.server()?.path = Some(path);
    Ok(())
}

fn update_key(line: &Line) -> Reading {
    let Some(path) = own::update_key(&line.args)? else {
        line.server()?.update_key = Some(UpdateKey::None);
        return Ok(());
    };
    let wrong = |error: String| format!("AthUpdateKey file:{path}: {error}");
    let key = cookie::secret(&line.path(&path)).map_err(|error| wrong(error.to_string()))?;
    let key = str::from_utf8(&key).unwrap_or_default().trim();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if !(16..=128).contains(&key.len()) || !key.bytes().all(plain) {
        let must = "the key must be 16 to 128 letters, digits, '-', '.', '_' or '~'";
        return Err(wrong(must.to_owned()));
    }
    line.server()?.update_key = Some(UpdateKey::Key(key.to_owned()));
    Ok(())
}

fn member_allow(line: &Line) -> Reading {
    let allowed = Allowed::parse(&line.args).map_err(|error| error.to_string())?;
    let known = &mut line.server()?.allowed;
    *known = Some(match known.take() {
        Some(known) => known.and(allowed).map_err(|error| error.to_string())?,
        None => allowed,
    });
    Ok(())
}

fn trust(line: &Line) -> Reading {
    let trust = Trust::parse(&line.args).map_err(|error| error.to_string())?;
    let known = &mut line.server()?.trust;
    *known = Some(match known.take() {
        Some(known) => known.and(trust).map_err(|error| error.to_string())?,
        None => trust,
    });
    Ok(())
}

fn qos(line: &Line) -> Reading {
    let read = Qos::parse(&line.args).map_err(|error| error.to_string())?;
    line.server()?.qos.push(read);
    Ok(())
}

fn cookie_name(line: &Line) -> Reading {
    let name = own::cookie_name(&line.args)?;
    line.server()?.cookie.set_name(&name)
}

fn cookie_mode(line: &Line) -> Reading {
    let mode = own::cookie_mode(&line.args)?;
    line.server()?.cookie.set_mode(&mode)
}

fn cookie_key(line: &Line) -> Reading {
    let (id, path) = own::cookie_key(&line.args)?;
    line.server()?.cookie.add_key(&id, &line.path(&path))
}

fn max_embed(line: &Line) -> Reading {
    line.server()?.max_embed = Some(own::max_embed(&line.args)?);
    Ok(())
}

fn diverse(line: &Line) -> Reading {
    line.server()?.diverse = Some(own::on_off("AthAllowDiverseMulti", &line.args)?);
    Ok(())
}

fn misplaced(_line: &Line) -> Reading {
    Err(
        "stands where a farm cannot be declared: move it out of its section, into the main server \
         or a virtual host"
            .to_owned(),
    )
}

fn rules(line: &Line) -> Reading {
    conf::mark_rules(line.section);
    Ok(())
}

fn error(line: &Line) -> Reading {
    Err(line.words().concat())
}

fn declared(line: &Line) -> Reading {
    line.server()?.declared.extend(line.words());
    Ok(())
}

fn params(line: &Line) -> Reading {
    let words = line.words();
    let [directive, farm, member, pairs @ ..] = words.as_slice() else {
        return Ok(());
    };
    let conf = line.server()?;
    let pairs = pairs.iter().filter_map(|pair| pair.split_once('='));
    if member.is_empty() {
        let params = conf.farm_params(farm);
        for (key, value) in pairs {
            params
                .set(key, value)
                .map_err(|error| format!("{directive} {error}"))?;
        }
        return Ok(());
    }
    let given = pairs.clone().next().is_some();
    let mut params = MemberParams::default();
    for (key, value) in pairs {
        params
            .set(key, value)
            .map_err(|error| format!("{directive} {error}"))?;
    }
    let Some(worker) = member::worker(line, farm, member) else {
        let unknown = || format!("{directive} {member}: mod_proxy does not know this member");
        return if given { Err(unknown()) } else { Ok(()) };
    };
    if let Some(other) = member::shared_with(worker, member, &conf.members) {
        let said =
            format!("{directive} {member}: mod_proxy takes it for {other}, which stands before it");
        if given {
            return Err(format!(
                "{said}: write one line for both, or the one with the longer path first"
            ));
        }
        let text = format!("{}: {said}: its parameters are passed over", line.place());
        conf.passed_over.entry(farm.clone()).or_default().push(text);
        return Ok(());
    }
    conf.members.insert(worker, params);
    Ok(())
}
