//! Policies sorted by where they can apply, so that a decision looks at few of them however many there are.

use crate::fit::Fit;
use crate::looks::{self, Looks};
use crate::model::{Operation, ServerTools, Tool, TrustGroups};
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
    pub(crate) policies: Arc<PolicySet>,
    pub(crate) looks: Looks,
    /// As far as they can be decided without arguments.
    pub(crate) without_arguments: PolicySet,
    /// Those that a step-up lifts and that no argument can settle.
    pub(crate) step_ups: PolicySet,
    /// No policy looks at the action in its conditions: all actions of this slice are decided alike, as far as arguments do
    /// not matter.
    pub(crate) is_alike: bool,
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
    /// Which arguments fit.
    pub(crate) fit: Arc<Fit>,
    /// What the tool was confirmed to be: its groups.
    pub(crate) definition: Digest,
}

/// A server with its actions.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) entity: Entity,
    pub(crate) uid: EntityUid,
    pub(crate) owner: EntityUid,
    pub(crate) environment: String,
    /// No policy that can concern it looks at what changes by itself, or from connection to connection.
    pub(crate) is_lasting: bool,
    tools: HashMap<String, Target>,
    unknown: Arc<Slice>,
    operations: HashMap<&'static str, Target>,
    pub(crate) data: Data,
}

/// What `disclose` and `change` are asked about: what policies name of a server's data, and what stands for the rest.
#[derive(Debug)]
pub(crate) struct Data {
    /// Columns with their names, `table.column`; of each table that policies name, `table.*` stands for its other columns.
    pub(crate) columns: BTreeMap<EntityUid, String>,
    /// Stands for every column that no policy names. No SQL name has this form.
    pub(crate) unnamed_column: EntityUid,
    /// Tables with their names.
    pub(crate) tables: BTreeMap<EntityUid, String>,
    /// Stands for every table that no policy names.
    pub(crate) unnamed_table: EntityUid,
    /// The data classes with their names.
    pub(crate) classes: BTreeMap<EntityUid, String>,
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
        let data = Data::of(server, rules);
        let is_lasting = slicer.rules.iter().all(|rule| !rule.looks.meets(looks::OF_THE_MOMENT));
        Some(Self {
            entity,
            uid: server_uid,
            owner,
            environment,
            is_lasting,
            tools,
            unknown,
            operations,
            data,
        })
    }

    /// The action of calling a tool; a tool that is not known is taken for the worst.
    pub(crate) fn tool(&self, name: &str) -> Target {
        self.tools.get(name).cloned().unwrap_or_else(|| {
            let tool = Tool { name: name.to_owned(), groups: TrustGroups::CAUTIOUS, input_schema: None };
            tool_target(self.uid.id().unescaped(), &tool, Shape::Any, self.unknown.clone())
        })
    }

    /// The tools whose input schemas cannot be used, and why.
    pub(crate) fn unusable(&self) -> impl Iterator<Item = (&str, &str)> {
        self.tools.iter().filter_map(|(name, target)| Some((name.as_str(), target.fit.problem()?)))
    }

    pub(crate) fn knows(&self, operation: Operation<'_>) -> bool {
        !matches!(operation, Operation::CallTool(tool) if !self.knows_tool(tool))
    }

    pub(crate) fn knows_tool(&self, name: &str) -> bool {
        self.tools.contains_key(name)
    }

    /// The policies that can apply to a tool.
    pub(crate) fn slice_of_tool(&self, name: &str) -> &Arc<Slice> {
        self.tools.get(name).map_or(&self.unknown, |target| &target.slice)
    }

    /// The tools that are known, in order of name.
    pub(crate) fn tools(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.tools.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    pub(crate) fn tool_names(&self) -> impl Iterator<Item = &str> {
        self.tools.keys().map(String::as_str)
    }

    /// Whether a policy about this operation looks at what only some operations have, such as the tool.
    pub(crate) fn tells_tools_apart(&self, operation: &str) -> bool {
        self.operation(operation).is_none_or(|target| target.slice.looks.contains(Looks::DETAIL))
    }

    /// An action that is not a tool.
    pub(crate) fn operation(&self, name: &str) -> Option<&Target> {
        self.operations.get(name)
    }
}

fn tool_target(server: &str, tool: &Tool, shape: Shape, slice: Arc<Slice>) -> Target {
    let fit = Fit::of_schema(tool.input_schema.as_deref());
    let action = uid_within(&TYPES.action, server, &tool.name);
    let definition = sha256(&[format!("{:?}", tool.groups).as_bytes()]);
    let target = target(action, groups(server, tool.groups), slice, shape, definition);
    Target { fit: Arc::new(fit), ..target }
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
    Target { uid: action, entity, slice, shape: Arc::new(shape), fit: Arc::new(Fit::Anything), definition }
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
            policies: Arc::new(PolicySet::from_policies(rules().map(|rule| rule.policy.clone())).ok()?),
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
            is_alike: rules().all(|rule| !rule.asks_for_action),
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

impl Data {
    fn of(server: &ServerTools, rules: &[Rule]) -> Self {
        let name = server.server.as_str();
        let (mut columns, mut tables) = (BTreeMap::new(), BTreeMap::new());
        for literal in rules.iter().flat_map(|rule| rule.policy.entity_literals()) {
            let Some((_, inner)) = literal.id().unescaped().split_once('/').filter(|(of, _)| *of == name)
            else {
                continue;
            };
            let inner = inner.to_owned();
            if *literal.type_name() == TYPES.column {
                columns.insert(literal, inner);
            } else if *literal.type_name() == TYPES.table {
                columns.insert(uid_within(&TYPES.column, name, &format!("{inner}.*")), format!("{inner}.*"));
                tables.insert(literal, inner);
            }
        }
        let class = |class: &String| (uid_within(&TYPES.data_class, name, class), class.clone());
        let classes: BTreeMap<EntityUid, String> = server.classes.iter().map(class).collect();
        let unnamed_column = uid_within(&TYPES.column, name, "(any).(any)");
        let unnamed_table = uid_within(&TYPES.table, name, "(any)");
        let mut entities = Vec::new();
        let server = uid(&TYPES.server, name);
        let mut add = |entity: &EntityUid, parents: HashSet<EntityUid>| {
            entities.push(Entity::new_no_attrs(entity.clone(), parents));
        };
        for (column, inner) in
            columns.iter().map(|(c, n)| (c, n.as_str())).chain([(&unnamed_column, "(any).(any)")])
        {
            let table = inner.rsplit_once('.').map_or(inner, |(table, _)| table);
            add(column, [server.clone(), uid_within(&TYPES.table, name, table)].into());
        }
        let of_columns: BTreeSet<String> = columns
            .values()
            .filter_map(|inner| inner.rsplit_once('.').map(|(table, _)| table.to_owned()))
            .chain(["(any)".to_owned()])
            .collect();
        let all: BTreeSet<EntityUid> = of_columns
            .iter()
            .map(|table| uid_within(&TYPES.table, name, table))
            .chain(tables.keys().cloned())
            .collect();
        all.iter().for_each(|table| add(table, [server.clone()].into()));
        for (class, inner) in &classes {
            add(class, [server.clone(), uid(&TYPES.data_class, inner)].into());
            add(&uid(&TYPES.data_class, inner), HashSet::new());
        }
        Self { columns, unnamed_column, tables, unnamed_table, classes, entities }
    }
}
