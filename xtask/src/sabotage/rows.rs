//! Which tests must fail without which protection.
//!
//! Owns: the table. Must not know: how it is tried. Invariant: every protection has a row, which
//! the compiler checks; one without tests fails the job.

use std::time::Duration;

use greenroom_sabotage::Protection;

/// How long a test is waited for that hangs without its protection.
pub(super) const HANGING: Duration = Duration::from_secs(8);

/// Where a test is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Program {
    /// In the end-to-end suite.
    EndToEnd,
    /// Beside the code, in the library of this name.
    Unit(&'static str),
}

/// A test that notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Test {
    pub(super) program: Program,
    /// Its whole name, as its program lists it.
    pub(super) name: &'static str,
    /// Whether it may notice by never coming to an end.
    pub(super) hangs: bool,
    /// Whether only root can make what it looks at.
    pub(super) root: bool,
    /// What else keeps the same promise: it is off all along, and the test passes all the same.
    pub(super) besides: &'static [Protection],
}

impl Test {
    const fn of(program: Program, name: &'static str) -> Self {
        Self { program, name, hangs: false, root: false, besides: &[] }
    }

    const fn hanging(self) -> Self {
        Self { hangs: true, ..self }
    }

    const fn as_root(self) -> Self {
        Self { root: true, ..self }
    }

    const fn besides(self, besides: &'static [Protection]) -> Self {
        Self { besides, ..self }
    }
}

const fn suite(name: &'static str) -> Test {
    Test::of(Program::EndToEnd, name)
}

const fn broker(name: &'static str) -> Test {
    Test::of(Program::Unit("greenroom_broker"), name)
}

const fn engine(name: &'static str) -> Test {
    Test::of(Program::Unit("greenroom_engine"), name)
}

const fn runtime(name: &'static str) -> Test {
    Test::of(Program::Unit("greenroom_runtime"), name)
}

/// The tests that fail without it.
pub(super) fn row(protection: Protection) -> Vec<Test> {
    let quota = || broker("quota::tests::names_the_limit_that_is_reached");
    let reached = || suite("spawns::b9_a_limit_that_is_reached_is_named");
    let registry = || broker("registry::tests::a_folder_that_others_could_touch_is_refused_with_what_to_do");
    match protection {
        Protection::Allowlist => vec![suite("calls::c4_an_entry_may_name_single_functions")],
        // Their tests are yet to come.
        Protection::Clock | Protection::Network | Protection::Random | Protection::Spawn => Vec::new(),
        Protection::Backlog => vec![suite("attacks::lies::who_lies_to_the_broker_is_killed")],
        Protection::Conduct => vec![suite("attacks::lies::who_lies_to_the_broker_is_killed")],
        Protection::HungUp => vec![suite("attacks::lies::who_lies_to_the_broker_is_killed")],
        Protection::Liars => vec![suite("attacks::lies::who_lies_to_its_parent_is_ended")],
        Protection::Folders => vec![suite("rights::b10_asking_for_more_is_denied_naming_the_right")],
        Protection::Rights => vec![suite("searches::e1_rights_beyond_the_tree_only_shrink")],
        Protection::WallLandlock => {
            vec![suite("attacks::calls::f3_landlock_alone_denies_what_it_is_said_to")]
        }
        Protection::WallNoNewPrivs => {
            vec![suite("walls::f3_no_privileges_are_gained_with_that_wall_alone")]
        }
        Protection::WallRlimits => {
            vec![suite("attacks::real::f3_every_thread_of_every_actor_is_behind_the_walls")]
        }
        Protection::WallSeccomp => vec![
            suite("attacks::calls::f3_no_forbidden_call_is_made_behind_the_walls"),
            suite("attacks::calls::f3_no_forbidden_call_is_made_behind_seccomp_alone"),
        ],
        Protection::Copy
        | Protection::LogLine
        | Protection::LogRate
        | Protection::Payload
        | Protection::Queue
        | Protection::Resources
        | Protection::SpawnRate
        | Protection::Wall
        | Protection::LowerLimits => Vec::new(),
        Protection::CacheSeal => vec![
            engine("cache::tests::no_flipped_bit_is_believed"),
            engine("cache::tests::an_entry_of_another_key_or_name_is_made_again"),
        ],
        Protection::CompileWalls => vec![
            suite("walls::f3_components_are_compiled_behind_walls"),
            suite("walls::f3_a_compiler_has_so_much_memory_and_time"),
        ],
        Protection::CompileTime => {
            vec![broker("compiler::tests::a_compiler_that_never_answers_is_ended_in_time").hanging()]
        }
        Protection::Cpu => vec![engine("bounds::tests::each_call_is_charged_for_its_own_time")],
        Protection::Instances => vec![engine("bounds::tests::a_seat_is_free_again_when_it_is_left")],
        Protection::Elements => vec![engine("bounds::tests::tables_count_as_elements_and_as_memory")],
        Protection::Memory => {
            vec![engine("bounds::tests::memory_is_counted_over_all_instances_and_given_back")]
        }
        Protection::Actors | Protection::Children => vec![quota(), reached()],
        Protection::ControlEnd => {
            vec![suite("kills::a3_nothing_outlives_a_killed_broker").besides(&[Protection::ParentDeath])]
        }
        Protection::Depth => vec![quota(), suite("spawns::b9_trees_nest_down_to_the_depth_limit").hanging()],
        Protection::Descendants => {
            vec![suite("kills::a3_nothing_outlives_an_actor_that_is_killed_while_it_starts_others")]
        }
        Protection::Discard => vec![
            suite("ladder::b8_a_cancelled_call_that_spins_costs_its_instance_and_not_its_actor").hanging(),
        ],
        Protection::Finds => vec![broker("discovery::tests::an_actor_asks_and_leaves_lying_only_so_much")],
        Protection::Kill => vec![
            broker("ladder::tests::a_wedged_actor_is_killed_in_time"),
            suite("ladder::b8_a_stopped_actor_is_gone_in_time").hanging(),
        ],
        Protection::Owners => {
            vec![suite("contexts::d3_cancel_actor_ends_the_whole_actor_and_is_its_owners")]
        }
        Protection::ParentDeath => {
            vec![suite("kills::a3_an_actor_that_is_stopped_does_not_outlive_its_broker")]
        }
        Protection::RegistryMode => vec![registry()],
        Protection::RegistryOwner => vec![registry().as_root()],
        Protection::StartUp => {
            vec![suite("spawns::b2_a_start_function_that_spins_ends_with_the_spawn_bound").hanging()]
        }
        Protection::Tasks => {
            vec![runtime("tests::calls::the_limit_on_tasks_refuses_one_call_and_frees_with_the_next_end")]
        }
    }
}
