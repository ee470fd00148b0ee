// Package substitution attacks classifiers of texts: words are replaced by synonyms, or misspelt, within a budget. It
// has a runner of its own, beside the harness of package method, as a text is no row of numbers
// (docs/adr/0015-texts-have-their-own-runner.md); its rules are the same. What counts is the text that the model, asked about it alone, takes
// for another class, and that a check apart from the search finds inside the budget.
package substitution

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text is a text in its words and what is between them.
type Text struct {
	Words []string
	gaps  []string // before each word, and after the last
}

// Split finds the words of a text: letters, marks and numbers, and apostrophes between them.
func Split(s string) Text {
	var t Text
	gap := 0
	for at := 0; at < len(s); {
		r, n := utf8.DecodeRuneInString(s[at:])
		if !inWord(r) {
			at += n
			continue
		}
		end := wordEnd(s, at)
		t.gaps, t.Words = append(t.gaps, s[gap:at]), append(t.Words, s[at:end])
		at, gap = end, end
	}
	t.gaps = append(t.gaps, s[gap:])
	return t
}

func inWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsNumber(r) }

// wordEnd is where the word that begins at a place ends.
func wordEnd(s string, at int) int {
	for at < len(s) {
		r, n := utf8.DecodeRuneInString(s[at:])
		if r == '\'' || r == '’' {
			if next, _ := utf8.DecodeRuneInString(s[at+n:]); !inWord(next) {
				return at
			}
		} else if !inWord(r) {
			return at
		}
		at += n
	}
	return at
}

// With gives the text with other words; an empty one leaves its place out.
func (t Text) With(words []string) string {
	var b strings.Builder
	for i, w := range words {
		b.WriteString(t.gaps[i])
		b.WriteString(w)
	}
	b.WriteString(t.gaps[len(words)])
	return b.String()
}

// single reports whether a text is one word and nothing else.
func single(word string) bool {
	t := Split(word)
	return len(t.Words) == 1 && t.Words[0] == word && utf8.ValidString(word)
}

// cased gives a word the case of another: all capitals, a capital first, or as it is.
func cased(word, as string) string {
	first, n := utf8.DecodeRuneInString(as)
	switch {
	case !unicode.IsUpper(first):
		return word
	case len(as) > n && as == strings.ToUpper(as):
		return strings.ToUpper(word)
	}
	first, n = utf8.DecodeRuneInString(word)
	return string(unicode.ToUpper(first)) + word[n:]
}
