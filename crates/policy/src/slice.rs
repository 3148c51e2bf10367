//! Policies sorted by where they can apply, so that a decision looks at few of them however many there are.

use crate::looks::{self, Looks};
use crate::model::{ServerTools, Tool, TrustGroups};
use crate::names::{TYPES, server_of, uid, uid_within};
use crate::schema::{OPERATIONS, groups_of};
use crate::shape::Shape;
use crate::source::Rule;
use cedar_policy::{ActionConstraint, Entity, EntityUid, PolicySet, ResourceConstraint};
use portunus_core::digest::{Digest, sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// The policies that can apply to one action on one server.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) policies: PolicySet,
    pub(crate) looks: Looks,
    /// As far as they can be decided without arguments.
    pub(crate) without_arguments: PolicySet,
    /// Those that a step-up lifts and that no argument can settle.
    pub(crate) step_ups: PolicySet,
}

/// One action on one server.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) uid: EntityUid,
    /// The action with the groups it is in.
    pub(crate) entity: Entity,
    pub(crate) slice: Arc<Slice>,
    /// How to read its arguments.
    pub(crate) shape: Arc<Shape>,
    /// What the tool is known to be: its groups and its input schema.
    pub(crate) definition: Digest,
}

/// A server with its actions.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) entity: Entity,
    pub(crate) uid: EntityUid,
    pub(crate) owner: EntityUid,
    pub(crate) environment: String,
    tools: HashMap<String, Target>,
    unknown: Arc<Slice>,
    operations: HashMap<&'static str, Target>,
    pub(crate) columns: Columns,
}

/// The columns that policies name, and the entities to ask about them.
#[derive(Debug)]
pub(crate) struct Columns {
    /// With their names, `table.column`.
    pub(crate) named: BTreeMap<EntityUid, String>,
    /// Stands for every column that no policy names. No SQL name has this form.
    pub(crate) unnamed: EntityUid,
    pub(crate) entities: Vec<Entity>,
}

impl Served {
    /// Sorts the policies for one server. `None` when Cedar cannot hold one of its names.
    pub(crate) fn new(
        server: &ServerTools,
        rules: &[Rule],
        shapes: &BTreeMap<(&str, &str), Shape>,
        named: &BTreeSet<(String, String)>,
    ) -> Option<Self> {
        let name = server.server.as_str();
        let owner = uid(&TYPES.user, &server.owner);
        let server_uid = uid(&TYPES.server, name);
        let attributes = HashMap::from([
            ("environment".to_owned(), crate::context::text(&server.environment)),
            ("owner".to_owned(), cedar_policy::RestrictedExpression::new_entity_uid(owner.clone())),
        ]);
        let entity = Entity::new(server_uid.clone(), attributes, HashSet::new()).ok()?;

        let mut slicer = Slicer::new(name, rules);
        let mut tools = HashMap::new();
        let expected = named.iter().filter(|(server, _)| server == name).map(|(_, tool)| Tool {
            name: tool.clone(),
            groups: TrustGroups::CAUTIOUS,
            input_schema: None,
        });
        for tool in server.tools.iter().cloned().chain(expected) {
            let shape = shapes.get(&(name, tool.name.as_str())).cloned().unwrap_or(Shape::Any);
            let slice = slicer.slice(&selves(name, &tool))?;
            tools.insert(tool.name.clone(), tool_target(name, &tool, shape, slice));
        }
        let mut operations = HashMap::new();
        for (operation, ..) in OPERATIONS {
            let action = uid(&TYPES.action, operation);
            let slice = slicer.slice(std::slice::from_ref(&action))?;
            operations.insert(operation, target(action, Vec::new(), slice, Shape::Any, sha256(&[])));
        }
        let unknown = slicer.slice(&groups(name, TrustGroups::CAUTIOUS))?;
        let environment = server.environment.clone();
        let columns = Columns::of(name, rules);
        Some(Self { entity, uid: server_uid, owner, environment, tools, unknown, operations, columns })
    }

    /// The action of calling a tool; a tool that is not known is taken for the worst.
    pub(crate) fn tool(&self, name: &str) -> Target {
        self.tools.get(name).cloned().unwrap_or_else(|| {
            let tool = Tool { name: name.to_owned(), groups: TrustGroups::CAUTIOUS, input_schema: None };
            tool_target(self.uid.id().unescaped(), &tool, Shape::Any, self.unknown.clone())
        })
    }

    /// An action that is not a tool.
    pub(crate) fn operation(&self, name: &str) -> Option<&Target> {
        self.operations.get(name)
    }
}

fn tool_target(server: &str, tool: &Tool, shape: Shape, slice: Arc<Slice>) -> Target {
    let action = uid_within(&TYPES.action, server, &tool.name);
    let schema = tool.input_schema.as_deref().unwrap_or_default();
    let definition = sha256(&[format!("{:?}", tool.groups).as_bytes(), b"\0", schema.as_bytes()]);
    target(action, groups(server, tool.groups), slice, shape, definition)
}

/// A tool's action and the groups it is in.
fn selves(server: &str, tool: &Tool) -> Vec<EntityUid> {
    let mut selves = groups(server, tool.groups);
    selves.push(uid_within(&TYPES.action, server, &tool.name));
    selves
}

fn target(
    action: EntityUid,
    parents: Vec<EntityUid>,
    slice: Arc<Slice>,
    shape: Shape,
    definition: Digest,
) -> Target {
    let entity = Entity::new_no_attrs(action.clone(), parents.into_iter().collect());
    Target { uid: action, entity, slice, shape: Arc::new(shape), definition }
}

fn groups(server: &str, trust: TrustGroups) -> Vec<EntityUid> {
    groups_of(server, trust).into_iter().map(|group| uid(&TYPES.action, group)).collect()
}

/// Makes the slices of one server, each distinct one once.
struct Slicer<'r> {
    rules: Vec<&'r Rule>,
    made: HashMap<Vec<usize>, Arc<Slice>>,
}

impl<'r> Slicer<'r> {
    fn new(server: &str, rules: &'r [Rule]) -> Self {
        let rules = rules.iter().filter(|rule| may_concern(rule, server)).collect();
        Self { rules, made: HashMap::new() }
    }

    /// The policies whose scope has one of these actions: an action and the groups it is in.
    /// `None` when Cedar does not take them.
    fn slice(&mut self, actions: &[EntityUid]) -> Option<Arc<Slice>> {
        let applies = |rule: &&Rule| match rule.policy.action_constraint() {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(action) => actions.contains(&action),
            ActionConstraint::In(any) => any.iter().any(|action| actions.contains(action)),
        };
        let chosen: Vec<usize> =
            self.rules.iter().enumerate().filter(|(_, rule)| applies(rule)).map(|(index, _)| index).collect();
        if let Some(made) = self.made.get(&chosen) {
            return Some(made.clone());
        }
        let rules = || chosen.iter().filter_map(|index| self.rules.get(*index));
        let slice = Arc::new(Slice {
            policies: PolicySet::from_policies(rules().map(|rule| rule.policy.clone())).ok()?,
            looks: rules().map(|rule| rule.looks).fold(Looks::NOTHING, Looks::and),
            without_arguments: PolicySet::from_policies(
                rules().filter_map(|rule| rule.without_arguments.clone()),
            )
            .ok()?,
            step_ups: PolicySet::from_policies(
                rules()
                    .filter(|rule| rule.step_up.is_some() && !rule.looks.meets(looks::OF_THE_CALL))
                    .map(|rule| rule.policy.clone()),
            )
            .ok()?,
        });
        self.made.insert(chosen, slice.clone());
        Some(slice)
    }
}

/// Whether a policy's resource could be this server or something in it.
fn may_concern(rule: &Rule, server: &str) -> bool {
    match rule.policy.resource_constraint() {
        ResourceConstraint::Any | ResourceConstraint::Is(_) => true,
        ResourceConstraint::In(entity)
        | ResourceConstraint::Eq(entity)
        | ResourceConstraint::IsIn(_, entity) => server_of(&entity).is_none_or(|named| named == server),
    }
}

impl Columns {
    fn of(server: &str, rules: &[Rule]) -> Self {
        let mut named = BTreeMap::new();
        for literal in rules.iter().flat_map(|rule| rule.policy.entity_literals()) {
            if *literal.type_name() == TYPES.column
                && let Some((named_server, name)) = literal.id().unescaped().split_once('/')
                && named_server == server
            {
                let name = name.to_owned();
                named.insert(literal, name);
            }
        }
        let unnamed = uid_within(&TYPES.column, server, "(any).(any)");
        let parents: HashSet<EntityUid> = [uid(&TYPES.server, server)].into();
        let entity = |column: &EntityUid| Entity::new_no_attrs(column.clone(), parents.clone());
        let entities = named.keys().chain([&unnamed]).map(entity).collect();
        Self { named, unnamed, entities }
    }
}
