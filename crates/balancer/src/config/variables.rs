//! Replaces `${VAR}` and `${VAR:-default}` in string values. `$${` stands for a literal `${`.

use super::environment::Lookup;

/// Returns the text with every variable replaced, or what is wrong with it.
///
/// As in a shell, the default counts if the variable is unset or empty. A default ends at the first `}`.
pub(super) fn expand(text: &str, lookup: Lookup<'_>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(literal) = before.strip_suffix('$') {
            out.push_str(literal);
            out.push_str("${");
            rest = after;
            continue;
        }
        out.push_str(before);
        let Some((inside, tail)) = after.split_once('}') else {
            return Err(format!("\"${{{after}\" lacks its \"}}\"; write \"$${{\" for a literal \"${{\""));
        };
        out.push_str(&value(inside, lookup)?);
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

fn value(inside: &str, lookup: Lookup<'_>) -> Result<String, String> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    if !is_name(name) {
        return Err(format!("\"${{{inside}}}\" names no variable; write ${{NAME}} or ${{NAME:-default}}"));
    }
    match (lookup(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => {
            Err(format!("the environment variable {name} is not set; set it or write ${{{name}:-default}}"))
        }
    }
}

fn is_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::expand;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("app01".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn replaces_variables() {
        for (text, expected) in [
            ("plain $HOST {x}", "plain $HOST {x}"),
            ("${HOST}:3000", "app01:3000"),
            ("${HOST}-${HOST}", "app01-app01"),
            ("${PORT:-3000}", "3000"),
            ("${EMPTY:-x}", "x"),
            ("${EMPTY}", ""),
            ("${PORT:-}", ""),
            ("$${HOST}", "${HOST}"),
            ("ü${HOST}ü", "üapp01ü"),
        ] {
            assert_eq!(expand(text, &lookup).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refuses_what_it_cannot_replace() {
        for (text, expected) in [
            ("${PORT}", "the environment variable PORT is not set; set it or write ${PORT:-default}"),
            ("a${HOST", "\"${HOST\" lacks its \"}\"; write \"$${\" for a literal \"${\""),
            ("${}", "\"${}\" names no variable; write ${NAME} or ${NAME:-default}"),
            ("${1A:-x}", "\"${1A:-x}\" names no variable; write ${NAME} or ${NAME:-default}"),
        ] {
            assert_eq!(expand(text, &lookup), Err(expected.to_owned()), "{text}");
        }
    }
}
