//! How deep a statement would take the planner, before it is let in.
//!
//! Brackets are bounded by the parser. A chain of operators, joins or set operations is not: its plan is
//! as deep as the chain is long, a planner that walks it goes as deep, and its time grows with the square.

use datafusion::sql::sqlparser::tokenizer::Token;

use super::{SqlError, Statement};

/// The most a statement may have, where an operator counts one.
const MOST: usize = 2000;
const SET_OPERATION: usize = 4;
const JOIN: usize = 10;

/// # Errors
/// `54001` where the statement is too deep.
pub(crate) fn check(statement: &Statement<'_>) -> Result<(), SqlError> {
    if weight(statement.tokens()) <= MOST {
        return Ok(());
    }
    Err(SqlError::new("54001", "the statement chains too many operators, joins or unions")
        .hint("a list of values is written IN (…), which can be of any length"))
}

fn weight(tokens: &[Token]) -> usize {
    // For each open bracket: whether its innermost clause is FROM, where commas are joins.
    let mut in_from = vec![false];
    let mut weight = 0_usize;
    for token in tokens {
        weight += match token {
            Token::LParen => {
                in_from.push(false);
                0
            }
            Token::RParen => {
                if in_from.len() > 1 {
                    in_from.pop();
                }
                0
            }
            Token::Comma => {
                if in_from.last() == Some(&true) {
                    JOIN
                } else {
                    0
                }
            }
            Token::Word(word) if word.quote_style.is_none() => match word.value.to_ascii_uppercase().as_str() {
                "FROM" => {
                    set(&mut in_from, true);
                    0
                }
                "SELECT" | "WHERE" | "GROUP" | "HAVING" | "ORDER" | "WINDOW" | "QUALIFY" | "LIMIT" => {
                    set(&mut in_from, false);
                    0
                }
                "UNION" | "EXCEPT" | "MINUS" | "INTERSECT" => SET_OPERATION,
                "JOIN" => JOIN,
                "AND" | "OR" | "NOT" | "IS" | "LIKE" | "ILIKE" | "SIMILAR" | "BETWEEN" | "COLLATE" => 1,
                _ => 0,
            },
            Token::Word(_)
            | Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::EscapedStringLiteral(_)
            | Token::DollarQuotedString(_)
            | Token::NationalStringLiteral(_)
            | Token::UnicodeStringLiteral(_)
            | Token::HexStringLiteral(_)
            | Token::Placeholder(_)
            | Token::Period => 0,
            // Every other sign may be an operator.
            _ => 1,
        };
    }
    weight
}

fn set(in_from: &mut [bool], to: bool) {
    if let Some(last) = in_from.last_mut() {
        *last = to;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::only;

    fn weigh(sql: &str) -> usize {
        weight(only(sql).unwrap().tokens())
    }

    #[test]
    fn chains_weigh_and_lists_do_not() {
        assert_eq!(weigh(&format!("select 1 where 1 in ({}1)", "2, ".repeat(5000))), 0);
        assert_eq!(weigh("select a, b, c from t where extract(day from d) = 1 order by a, b"), 1);
        assert_eq!(weigh("select 1 from a, b, (select 1 from c, d where x in (1, 2)) join e using (f, g)"), 4 * JOIN);
        assert_eq!(weigh("select 1 union select 2 except select 3"), 2 * SET_OPERATION);
        assert_eq!(weigh("select a + b || c::int and not d"), 5);
        assert!(check(&only(&format!("select {}1", "1+".repeat(MOST + 1))).unwrap()).is_err());
    }
}
