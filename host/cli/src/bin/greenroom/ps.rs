//! `greenroom ps` and `greenroom tree`: who is there.
//!
//! Owns: a table, and trees drawn with lines. Must not know: how actors are collected. Invariant:
//! both show the same actors.

use std::fmt::Write as _;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use greenroom::{ActorStage, ActorStatus, TreeStatus, harmless_line};

use crate::actors::{TITLES, Tree, stage, tree_json, trees};
use crate::error::CliError;
use crate::live::{self, Layout, bytes, duration};
use crate::values::write_line;

/// List the live actors: name, tree, process, uptime, tasks, memory, processor use
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Trees that have published an actor are listed, with all their actors. Memory is an actor's own;
processor use is over its life, in percent of one processor. `?` is what its host does not tell.
Examples:
  greenroom ps
  greenroom ps --tree counter -o json")]
pub(crate) struct PsArgs {
    /// Only the tree of this name, or of the published actor of this name
    #[arg(long, value_name = "NAME")]
    tree: Option<String>,

    /// How they are printed
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Layout,
}

/// Draw the live actors as trees: who started whom
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  greenroom tree
  greenroom tree counter")]
pub(crate) struct TreeArgs {
    /// Only the tree of this name, or of the published actor of this name
    #[arg(value_name = "NAME")]
    tree: Option<String>,

    /// How they are printed
    #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t)]
    output: Layout,
}

pub(crate) fn ps(args: &PsArgs) -> Result<(), CliError> {
    let found = collect(args.tree.as_deref())?;
    match args.output {
        Layout::Json => json(&found),
        Layout::Text => write_line(&table(&found)),
    }
}

pub(crate) fn tree(args: &TreeArgs) -> Result<(), CliError> {
    let found = collect(args.tree.as_deref())?;
    match args.output {
        Layout::Json => json(&found),
        Layout::Text if found.is_empty() => Ok(()),
        Layout::Text => {
            let trees: Vec<String> = found.iter().map(draw).collect();
            write_line(trees.join("\n").trim_end())
        }
    }
}

/// The trees that are meant; none is fine, unless one was named.
fn collect(only: Option<&str>) -> Result<Vec<Tree>, CliError> {
    let found = live::work(async |machine| trees(machine, only).await)?;
    match only {
        Some(name) if found.is_empty() => Err(live::nobody(name)),
        _ => Ok(found),
    }
}

fn json(found: &[Tree]) -> Result<(), CliError> {
    let all: Vec<serde_json::Value> = found.iter().map(tree_json).collect();
    write_line(&serde_json::Value::from(all).to_string())
}

fn table(found: &[Tree]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(TITLES);
    for row in found.iter().flat_map(Tree::rows) {
        table.add_row(row.cells());
    }
    for (number, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if number >= 2 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text = table.trim_fmt();
    for (tree, error) in found.iter().filter_map(|tree| match tree {
        Tree::Silent(_, error) => Some((tree.name(), error)),
        Tree::Told(_) => None,
    }) {
        let _ = write!(
            text,
            "\nthe host of tree `{}` does not answer: {}",
            harmless_line(tree),
            harmless_line(error)
        );
    }
    for tree in found {
        if let Some(missing) = missing_walls(tree) {
            let _ = write!(
                text,
                "\nno wall around the actors of tree `{}`: {missing}",
                harmless_line(tree.name())
            );
        }
    }
    text
}

/// The walls that the actors of a tree have not raised, if there are any such.
pub(crate) fn missing_walls(tree: &Tree) -> Option<String> {
    let Tree::Told(status) = tree else { return None };
    (!status.without.is_empty()).then(|| harmless_line(&status.without.join(", ")).into_owned())
}

fn draw(tree: &Tree) -> String {
    match tree {
        Tree::Told(status) => draw_tree(status, missing_walls(tree)),
        Tree::Silent(entries, error) => {
            let mut text = format!(
                "{}  (its host does not answer: {})\n",
                harmless_line(tree.name()),
                harmless_line(error)
            );
            for entry in entries {
                let _ = writeln!(text, "└─ {}  pid {}", harmless_line(&entry.path.join("/")), entry.pid);
            }
            text
        }
    }
}

fn draw_tree(status: &TreeStatus, missing: Option<String>) -> String {
    let (name, pid) = (harmless_line(&status.tree), status.host_pid);
    let missing = missing.map(|walls| format!("  no wall: {walls}")).unwrap_or_default();
    let mut text = format!("{name}  host pid {pid}, greenroom {}{missing}\n", harmless_line(&status.version));
    let actors: Vec<&ActorStatus> = status.actors.iter().collect();
    let roots = actors.iter().filter(|actor| actor.path.len() == 1).copied().collect();
    draw_children(&mut text, "", roots, &actors);
    text
}

/// Draws actors that one actor has started, each with its own below it. Names may repeat among
/// siblings; what stands behind an actor in the list, until the next of its depth, is below it.
fn draw_children(text: &mut String, indent: &str, children: Vec<&ActorStatus>, all: &[&ActorStatus]) {
    let last = children.len().saturating_sub(1);
    for (number, actor) in children.into_iter().enumerate() {
        let (branch, line) = if number == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let _ = writeln!(text, "{indent}{branch}{}", describe(actor));
        let place = all.iter().position(|other| other.id == actor.id).unwrap_or_default();
        let behind = all.iter().skip(place + 1);
        let below = behind.take_while(|other| other.path.len() > actor.path.len());
        let below = below.filter(|other| other.path.len() == actor.path.len() + 1).copied().collect();
        draw_children(text, &format!("{indent}{line}"), below, all);
    }
}

fn describe(actor: &ActorStatus) -> String {
    let mut text = format!("{}  pid {}", harmless_line(&actor.id.name), actor.pid);
    let _ = write!(text, "  up {}", duration(std::time::Duration::from_millis(actor.uptime_ms)));
    match actor.tasks {
        Some(1) => text.push_str("  1 task"),
        Some(count) => _ = write!(text, "  {count} tasks"),
        None => {}
    }
    if let Some(memory) = actor.memory {
        let _ = write!(text, "  {}", bytes(memory));
    }
    if actor.stage != ActorStage::Ready {
        let _ = write!(text, "  {}", stage(actor.stage));
    }
    if actor.published {
        text.push_str("  published");
    }
    text
}

#[cfg(test)]
mod tests {
    use greenroom::ActorId;

    use super::*;

    fn actor(path: &[&str], pid: u32) -> ActorStatus {
        let path: Vec<String> = path.iter().map(|name| (*name).to_owned()).collect();
        ActorStatus {
            id: ActorId { name: path.last().cloned().unwrap_or_default(), uuid: pid.to_string() },
            path,
            pid,
            published: pid == 2,
            stage: ActorStage::Ready,
            uptime_ms: 61_000,
            tasks: Some(1),
            memory: Some(3 << 20),
            cpu_ms: Some(610),
            modules: Vec::new(),
        }
    }

    fn status() -> TreeStatus {
        TreeStatus {
            tree: "app".into(),
            host: "h".into(),
            host_pid: 1,
            version: "0.1.0".into(),
            without: Vec::new(),
            actors: vec![
                actor(&["app"], 2),
                actor(&["app", "one"], 3),
                actor(&["app", "one", "leaf"], 4),
                actor(&["app", "one", "leaf"], 5),
                actor(&["app", "\u{1b}[2Jtwo"], 6),
            ],
        }
    }

    #[test]
    fn a_tree_is_drawn_with_everybody_below_who_started_it() {
        let lines = [
            "app  host pid 1, greenroom 0.1.0",
            "└─ app  pid 2  up 1m 1s  1 task  3.0 MiB  published",
            "   ├─ one  pid 3  up 1m 1s  1 task  3.0 MiB",
            "   │  ├─ leaf  pid 4  up 1m 1s  1 task  3.0 MiB",
            "   │  └─ leaf  pid 5  up 1m 1s  1 task  3.0 MiB",
            "   └─ \\u{1b}[2Jtwo  pid 6  up 1m 1s  1 task  3.0 MiB",
        ];
        assert_eq!(draw(&Tree::Told(status())).lines().collect::<Vec<_>>(), lines);
    }

    #[test]
    fn a_table_has_stable_columns() {
        let text = table(&[Tree::Told(status())]);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], TITLES);
        assert_eq!(lines[1], ["app", "app", "2", "1m", "1s", "1", "3.0", "MiB", "1.0%"]);
        assert_eq!(text.lines().count(), 6);
        assert!(text.lines().all(|line| line == line.trim_end()), "{text}");
    }

    #[test]
    fn a_tree_without_a_wall_says_so() {
        let open = Tree::Told(TreeStatus { without: vec!["landlock".into(), "seccomp".into()], ..status() });
        let drawn = draw(&open);
        assert_eq!(
            drawn.lines().next(),
            Some("app  host pid 1, greenroom 0.1.0  no wall: landlock, seccomp")
        );
        let text = table(&[open]);
        assert_eq!(text.lines().last(), Some("no wall around the actors of tree `app`: landlock, seccomp"));
    }

    #[test]
    fn nobody_is_a_table_of_its_titles() {
        assert_eq!(table(&[]).split_whitespace().collect::<Vec<_>>(), TITLES);
    }
}
