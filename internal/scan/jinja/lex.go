package jinja

import "strings"

type kind int

const (
	other kind = iota
	name
	text
	number
)

// token is a word of a template's code.
type token struct {
	kind kind
	text string // without quotes
	at   int
}

// block is code between {{ and }}, or {% and %}.
type block struct {
	statement bool
	tokens    []token
}

// split gives the blocks of a template. Comments and what is between them is text.
func split(s string) (blocks []block, problem *Problem) {
	for at := 0; ; {
		i := strings.IndexByte(s[at:], '{')
		if i < 0 || at+i+1 >= len(s) {
			return blocks, nil
		}
		at += i
		switch s[at+1] {
		case '#':
			end := strings.Index(s[at+2:], "#}")
			if end < 0 {
				return blocks, &Problem{at, "A comment has no end.", false}
			}
			at += 2 + end + 2
		case '{', '%':
			b := block{statement: s[at+1] == '%'}
			end, ok := b.lex(s, at+2)
			if !ok {
				return append(blocks, b), &Problem{at, "Its code could not be read from here on.", false}
			}
			blocks = append(blocks, b)
			at = end
			if b.statement && len(b.tokens) == 1 && b.tokens[0].text == "raw" {
				if at, ok = endRaw(s, at); !ok {
					return blocks, &Problem{at, "Raw text has no end.", false}
				}
			}
		default:
			at++
		}
	}
}

// endRaw finds the statement that ends raw text.
func endRaw(s string, at int) (int, bool) {
	for from := at; ; {
		i := strings.Index(s[from:], "{%")
		if i < 0 {
			return at, false
		}
		from += i + 2
		end := strings.Index(s[from:], "%}")
		if end < 0 {
			return at, false
		}
		if strings.Trim(s[from:from+end], " \t\r\n-+") == "endraw" {
			return from + end + 2, true
		}
	}
}

// lex reads code up to its end and gives the offset after it.
func (b *block) lex(s string, at int) (int, bool) {
	closing := "}}"
	if b.statement {
		closing = "%}"
	}
	if at < len(s) && (s[at] == '-' || s[at] == '+' && b.statement) {
		at++
	}
	depth := 0
	for at < len(s) {
		c := s[at]
		switch {
		case depth == 0 && strings.HasPrefix(s[at:], closing):
			return at + 2, true
		case depth == 0 && (c == '-' || c == '+') && strings.HasPrefix(s[at+1:], closing):
			return at + 3, true
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			at++
		case c == '"' || c == '\'':
			end := at + 1
			for end < len(s) && s[end] != c {
				if s[end] == '\\' {
					end++
				}
				end++
			}
			if end >= len(s) {
				return at, false
			}
			b.tokens = append(b.tokens, token{text, s[at+1 : end], at})
			at = end + 1
		case word(c):
			end := at
			for end < len(s) && (word(s[end]) || '0' <= s[end] && s[end] <= '9') {
				end++
			}
			b.tokens = append(b.tokens, token{name, s[at:end], at})
			at = end
		case '0' <= c && c <= '9':
			end := at
			for end < len(s) && (word(s[end]) || '0' <= s[end] && s[end] <= '9') {
				end++
			}
			b.tokens = append(b.tokens, token{number, s[at:end], at})
			at = end
		default:
			switch c {
			case '(', '[', '{':
				depth++
			case ')', ']', '}':
				depth--
			}
			b.tokens = append(b.tokens, token{other, s[at : at+1], at})
			at++
		}
	}
	return at, false
}

// word reports whether a byte may be in a name. Python takes letters beyond ASCII too, and
// normalises them to others, so that they count as letters here.
func word(c byte) bool {
	return c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c >= 0x80
}
