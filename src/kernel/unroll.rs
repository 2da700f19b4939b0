//! Loops written out: a pass over a linked shader, for compilers that unroll none.
//!
//! SwiftShader, which browsers use where there is no GPU, keeps an array that a loop's variable indexes in memory, and brings each element of it lane by lane, in eight times the time
//! (benches/RESULTS.md). Where the index is a constant, the array is as many values. The operations and their order stay the same, and so do the bits.
//!
//! In each iteration the loop's variable is a constant. So what a shader guards at run time is judged when it is compiled: in `if i < 4u { a[i] = x; }` an index of 4 is an error, even
//! where the loop counts further. No shader here has that.

use std::collections::HashMap;

use wesl::syntax::{
    AssignmentOperator, BinaryExpression, BinaryOperator, CompoundStatement, Declaration, DeclarationKind, Expression,
    ForStatement, Function, GlobalDeclaration, Ident, LiteralExpression, Statement, StatementNode, TranslationUnit,
};

/// The most iterations of a loop that is written out.
const MOST_ITERATIONS: u32 = 16;
/// The most statements that a loop becomes, with those of loops in it and of functions that it calls: a driver's compiler has them all in one place, and takes time for each.
const MOST_STATEMENTS: usize = 256;

/// Writes out each loop that counts a u32 up from one constant to another, and is left in no other way.
pub(super) fn unroll(shader: &mut TranslationUnit) {
    let (mut constants, mut sizes) = (Constants::new(), Sizes::default());
    for declaration in &shader.global_declarations {
        if let GlobalDeclaration::Declaration(declaration) = &**declaration {
            constants.note(declaration);
        }
    }
    let mut functions: Vec<_> = shader
        .global_declarations
        .iter_mut()
        .filter_map(|declaration| match &mut **declaration {
            GlobalDeclaration::Function(function) => Some(function),
            _ => None,
        })
        .collect();
    // Those that call no function that is still to come.
    while !functions.is_empty() {
        let names: Vec<String> = functions.iter().map(|function| function.ident.name().clone()).collect();
        let is_ready = |function: &&mut Function| {
            let body = function.body.to_string();
            calls(&body).all(|called| !names.iter().any(|name| name == called))
        };
        let (ready, waiting): (Vec<_>, Vec<_>) = functions.into_iter().partition(is_ready);
        for function in ready {
            let mut known = constants.clone();
            function.parameters.iter().for_each(|parameter| known.hide(&parameter.ident));
            unroll_in(&mut function.body, &known, &sizes);
            sizes.0.insert(function.ident.name().clone(), sizes.of(&function.body));
        }
        // A function that calls itself is none that a driver takes.
        functions = if waiting.len() < names.len() { waiting } else { vec![] };
    }
}

/// The statements of each function, with those of the functions that it calls.
#[derive(Default)]
struct Sizes(HashMap<String, usize>);

impl Sizes {
    fn of(&self, block: &CompoundStatement) -> usize {
        let mut count = 0;
        each(&mut block.clone(), &mut |_| count += 1);
        calls(&block.to_string()).filter_map(|name| self.0.get(name)).fold(count, |sum, size| sum.saturating_add(*size))
    }
}

/// The names before an opening parenthesis in a text, which are those of functions and types.
fn calls(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices('(').map(|(at, _)| {
        let before = &text[..at];
        let is_of_name = |letter: char| letter.is_alphanumeric() || letter == '_';
        &before[before.trim_end_matches(is_of_name).len()..]
    })
}

/// The values of constants by name, where they are whole numbers.
#[derive(Clone)]
struct Constants(HashMap<String, u32>);

impl Constants {
    fn new() -> Self {
        Constants(HashMap::new())
    }

    /// A name that is anything else in a block hides the constant outside.
    fn hide(&mut self, name: &Ident) {
        self.0.remove(&*name.name());
    }

    fn note(&mut self, declaration: &Declaration) {
        let name = declaration.ident.name().clone();
        self.hide(&declaration.ident);
        if let (DeclarationKind::Const, Some(value)) = (declaration.kind, &declaration.initializer) {
            self.0.extend(self.value(value).map(|value| (name, value)));
        }
    }

    fn value(&self, expression: &Expression) -> Option<u32> {
        match expression {
            Expression::Literal(LiteralExpression::U32(value)) => Some(*value),
            Expression::Literal(LiteralExpression::AbstractInt(value)) => u32::try_from(*value).ok(),
            Expression::Parenthesized(inner) => self.value(&inner.expression),
            Expression::TypeOrIdentifier(name) if name.template_args.is_none() => {
                self.0.get(&*name.ident.name()).copied()
            }
            Expression::Binary(BinaryExpression { operator, left, right }) => {
                let (left, right) = (self.value(left)?, self.value(right)?);
                match operator {
                    BinaryOperator::Addition => left.checked_add(right),
                    BinaryOperator::Subtraction => left.checked_sub(right),
                    BinaryOperator::Multiplication => left.checked_mul(right),
                    BinaryOperator::Division => left.checked_div(right),
                    BinaryOperator::Remainder => left.checked_rem(right),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

fn unroll_in(block: &mut CompoundStatement, outside: &Constants, sizes: &Sizes) {
    let mut constants = outside.clone();
    for statement in &mut block.statements {
        let mut inside = constants.clone();
        if let Statement::For(written) = &**statement
            && let Some(Statement::Declaration(variable)) = written.initializer.as_deref()
        {
            inside.hide(&variable.ident);
        }
        for inner in blocks_of(statement) {
            unroll_in(inner, &inside, sizes);
        }
        match &mut **statement {
            Statement::Declaration(declaration) => constants.note(declaration),
            Statement::For(written) => {
                if let Some(statements) = iterations(written, &inside, sizes) {
                    let mut written_out = CompoundStatement { attributes: vec![], statements };
                    // Loops in it may count up to its variable, which is a constant now.
                    unroll_in(&mut written_out, &constants, sizes);
                    if sizes.of(&written_out) <= MOST_STATEMENTS {
                        **statement = Statement::Compound(written_out);
                    }
                }
            }
            _ => {}
        }
    }
}

/// The blocks that are part of a statement.
fn blocks_of(statement: &mut Statement) -> Vec<&mut CompoundStatement> {
    match statement {
        Statement::Compound(block) => vec![block],
        Statement::If(choice) => {
            let others = choice.else_if_clauses.iter_mut().map(|clause| &mut clause.body);
            let last = choice.else_clause.iter_mut().map(|clause| &mut clause.body);
            std::iter::once(&mut choice.if_clause.body).chain(others).chain(last).collect()
        }
        Statement::Switch(choice) => choice.clauses.iter_mut().map(|clause| &mut clause.body).collect(),
        Statement::Loop(repeated) => {
            let end = repeated.continuing.iter_mut().map(|end| &mut end.body);
            std::iter::once(&mut repeated.body).chain(end).collect()
        }
        Statement::For(repeated) => vec![&mut repeated.body],
        Statement::While(repeated) => vec![&mut repeated.body],
        _ => vec![],
    }
}

/// The iterations of a loop, a block each in which its variable is a constant.
fn iterations(written: &ForStatement, constants: &Constants, sizes: &Sizes) -> Option<Vec<StatementNode>> {
    let Some(Statement::Declaration(first)) = written.initializer.as_deref() else { return None };
    let from = match first.initializer.as_deref()? {
        literal @ Expression::Literal(LiteralExpression::U32(_)) => constants.value(literal)?,
        _ => return None,
    };
    let name = first.ident.name().clone();
    let Some(Expression::Binary(BinaryExpression { operator: BinaryOperator::LessThan, left, right })) =
        written.condition.as_deref()
    else {
        return None;
    };
    let step = match written.update.as_deref()? {
        Statement::Increment(update) if update.expression.to_string() == name => 1,
        Statement::Assignment(update)
            if update.operator == AssignmentOperator::PlusEqual && update.lhs.to_string() == name =>
        {
            constants.value(&update.rhs)?
        }
        _ => return None,
    };
    if left.to_string() != name || step == 0 || !is_constant_in(&name, &written.body) {
        return None;
    }
    let values = (from..constants.value(right)?).step_by(step as usize);
    let count = values.clone().take(MOST_ITERATIONS as usize + 1).count();
    if count > MOST_ITERATIONS as usize || count * sizes.of(&written.body) > MOST_STATEMENTS {
        return None;
    }
    let iteration = |value| {
        let mut block = written.body.clone();
        let constant = Declaration {
            kind: DeclarationKind::Const,
            initializer: Some(Expression::Literal(LiteralExpression::U32(value)).into()),
            ..first.clone()
        };
        block.statements.insert(0, Statement::Declaration(constant).into());
        Statement::Compound(block).into()
    };
    Some(values.map(iteration).collect())
}

/// Whether a block leaves the loop around it alone, and its variable as it is.
fn is_constant_in(name: &str, block: &CompoundStatement) -> bool {
    let is_it = |place: &Expression| names(&place.to_string()).eq([name]);
    // A pointer to it could change it too.
    let text = block.to_string();
    let mut is_constant = !text.match_indices('&').any(|(at, _)| names(&text[at + 1..]).next() == Some(name));
    each(&mut block.clone(), &mut |statement| {
        is_constant &= match statement {
            Statement::Break(_) | Statement::Continue(_) => false,
            Statement::Assignment(change) => !is_it(&change.lhs),
            Statement::Increment(change) => !is_it(&change.expression),
            Statement::Decrement(change) => !is_it(&change.expression),
            Statement::Declaration(declaration) => *declaration.ident.name() != name,
            _ => true,
        }
    });
    is_constant
}

/// The names in a text, in order.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|letter: char| !(letter.is_alphanumeric() || letter == '_'));
    words.filter(|word| !word.is_empty() && !word.starts_with(|letter: char| letter.is_ascii_digit()))
}

/// Goes over the statements of a block and of those in it.
fn each(block: &mut CompoundStatement, see: &mut dyn FnMut(&Statement)) {
    for statement in &mut block.statements {
        see(statement);
        if let Statement::For(inner) = &**statement {
            inner.initializer.as_deref().into_iter().chain(inner.update.as_deref()).for_each(&mut *see);
        }
        blocks_of(statement).into_iter().for_each(|inner| each(inner, see));
    }
}
