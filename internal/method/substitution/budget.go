package substitution

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"assay/internal/method"
)

// Budget is what an attacker may do to a text.
type Budget struct {
	Words    float64   // the share of words that may change, rounded down to whole words; 0 to 1
	Synonyms Synonyms  // by which words may be replaced; nil for none
	Edits    int       // characters by which a word may be misspelt: the distance of Damerau; 0 for none
	Protect  []string  // words that stay, in any case
	protect  stringSet // the same
}

// Words measures a change by the share of a text's words that are not as they were.
const Words method.Norm = "words"

type stringSet map[string]bool

// Synonyms gives the words that may stand for a word, which is in lower case. It is safe for concurrent use.
type Synonyms interface{ Of(word string) []string }

// maxEdits bounds how far words are misspelt: beyond it they are no words any more.
const maxEdits = 8

func (b *Budget) validate() error {
	switch {
	case !(b.Words >= 0 && b.Words <= 1):
		return fmt.Errorf("a share of %g of the words cannot change: give 0 to 1", b.Words)
	case b.Edits < 0 || b.Edits > maxEdits:
		return fmt.Errorf("words misspelt by %d characters: give 0 to %d", b.Edits, maxEdits)
	case b.Synonyms == nil && b.Edits == 0:
		return fmt.Errorf("nothing can change: give synonyms, or edits")
	}
	b.protect = stringSet{}
	for _, w := range b.Protect {
		b.protect[strings.ToLower(w)] = true
	}
	return nil
}

// Space is where an attacker may take one text.
type Space struct {
	budget *Budget
	clean  Text
	most   int // words that may change
}

// NewSpace gives where an attacker with a budget may take a text.
func NewSpace(b Budget, text string) (*Space, error) {
	if err := b.validate(); err != nil {
		return nil, err
	}
	return newSpace(&b, text), nil
}

func newSpace(b *Budget, text string) *Space {
	s := &Space{budget: b, clean: Split(text)}
	s.most = int(math.Floor(b.Words*float64(len(s.clean.Words)) + 1e-9))
	return s
}

// Most is how many words may change.
func (s *Space) Most() int { return s.most }

// Contains reports in what a text leaves the space, nil if it is inside. It takes the text apart anew, and shares
// nothing with the search but the rule by which words are found.
func (s *Space) Contains(text string) error {
	t := Split(text)
	if !slices.Equal(t.gaps, s.clean.gaps) {
		return fmt.Errorf("what is between the words changed")
	}
	changed := 0
	for i, w := range t.Words {
		clean := s.clean.Words[i]
		if w == clean {
			continue
		}
		if changed++; s.budget.protect[strings.ToLower(clean)] {
			return fmt.Errorf("the protected word %q became %q", clean, w)
		}
		if !s.mayBe(clean, w) {
			return fmt.Errorf("the word %q became %q, which is no synonym and further than %d characters from it", clean, w, s.budget.Edits)
		}
	}
	if changed > s.most {
		return fmt.Errorf("%d of %d words changed, %d more than allowed", changed, len(t.Words), changed-s.most)
	}
	return nil
}

func (s *Space) mayBe(clean, w string) bool {
	if s.budget.Synonyms != nil && slices.ContainsFunc(s.budget.Synonyms.Of(strings.ToLower(clean)), func(of string) bool {
		return cased(of, clean) == w
	}) {
		return true
	}
	return s.budget.Edits > 0 && distance([]rune(clean), []rune(w)) <= s.budget.Edits
}

// changed counts the words that are not as they were.
func (s *Space) changed(words []string) int {
	n := 0
	for i, w := range words {
		if w != s.clean.Words[i] {
			n++
		}
	}
	return n
}

// Candidates gives the words that may stand at a place, where now stands: synonyms of the clean word, and misspellings that are
// one edit away from what is there, or from the clean word.
func (s *Space) Candidates(i int, now string) []string {
	clean := s.clean.Words[i]
	if s.budget.protect[strings.ToLower(clean)] {
		return nil
	}
	var out []string
	seen := stringSet{now: true, clean: true}
	add := func(w string) {
		if !seen[w] && single(w) {
			seen[w] = true
			out = append(out, w)
		}
	}
	if s.budget.Synonyms != nil {
		for _, w := range s.budget.Synonyms.Of(strings.ToLower(clean)) {
			add(cased(w, clean))
		}
	}
	if s.budget.Edits == 0 {
		return out
	}
	from := now
	if distance([]rune(clean), []rune(now)) >= s.budget.Edits {
		from = clean
	}
	for _, w := range misspellings(from) {
		if distance([]rune(clean), []rune(w)) <= s.budget.Edits {
			add(w)
		}
	}
	return out
}

// longest is the longest word that is misspelt, in characters.
const longest = 64

// misspellings are one edit away from a word: neighbours swapped, a character left out, doubled, or replaced by one that looks like it
// (Gao et al. 2018, arXiv:1801.04354, section III-C; Li et al. 2019, arXiv:1812.05271, section III-B).
func misspellings(word string) (out []string) {
	r := []rune(word)
	if len(r) > longest {
		return nil
	}
	with := func(parts ...[]rune) { out = append(out, string(slices.Concat(parts...))) }
	for i := range r {
		if i+1 < len(r) && r[i] != r[i+1] {
			with(r[:i], []rune{r[i+1], r[i]}, r[i+2:])
		}
		if len(r) > 1 {
			with(r[:i], r[i+1:])
		}
		with(r[:i], []rune{r[i]}, r[i:])
		if alike, ok := homoglyphs[r[i]]; ok {
			with(r[:i], []rune{alike}, r[i+1:])
		}
	}
	return out
}

// homoglyphs are characters that look alike: Cyrillic ones, and digits (Unicode Technical Standard 39).
var homoglyphs = map[rune]rune{
	'a': 'а', 'c': 'с', 'e': 'е', 'i': 'і', 'j': 'ј', 'l': '1', 'o': 'о', 'p': 'р', 's': 'ѕ', 'x': 'х', 'y': 'у',
	'A': 'А', 'B': 'В', 'C': 'С', 'E': 'Е', 'H': 'Н', 'I': 'І', 'K': 'К', 'M': 'М', 'O': 'О', 'P': 'Р', 'S': 'Ѕ', 'T': 'Т', 'X': 'Х',
}

// distance is that of Damerau (1964) and Levenshtein in its restricted form: characters left out, put in, replaced, and neighbours
// swapped, with no place edited twice.
func distance(a, b []rune) int {
	if len(a) > utf8.UTFMax*longest || len(b) > utf8.UTFMax*longest {
		return maxEdits + 1
	}
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	for j := range rows[1] {
		rows[1][j] = j
	}
	for i := 1; i <= len(a); i++ {
		two, one, now := rows[0], rows[1], rows[2]
		now[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			now[j] = min(one[j]+1, now[j-1]+1, one[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				now[j] = min(now[j], two[j-2]+1)
			}
		}
		rows = [3][]int{one, now, two}
	}
	return rows[1][len(b)]
}
