package system

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"assay"
	"assay/internal/dataset"
)

// Relation is a linear relation between the features of a record: the sum of the terms
// is at most Bound. It is written as two sums with <= or >= between them, such as
//
//	"mean radius" <= "worst radius"
//	income - 12 * rent >= 1e3
//
// where a term is a feature, a number, or a number times a feature. A feature's name
// that is more than letters, digits, underscores and dots, or begins with a digit, is in
// quotes, ' or ".
type Relation struct {
	Text  string // as it was written
	Terms []Term // by their first occurrence, each feature once, no weight 0
	Bound float64
}

// Term is a feature and its weight.
type Term struct {
	Feature string
	Weight  float64
}

// RelationError says where in a relation's text something is wrong.
type RelationError struct {
	At      int // bytes before it
	Problem string
}

func (e *RelationError) Error() string { return e.Problem }

// Offset is the number of characters before what is wrong.
func (e *RelationError) Offset() int { return e.At }

// Limits of a relation.
const (
	maxRelationText = 1 << 16
	maxRelationTerm = 1 << 12
)

// ParseRelation reads a relation. The error is a *RelationError.
func ParseRelation(text string) (Relation, error) {
	p := &relationParser{text: text, weights: map[string]float64{}}
	r, err := p.relation()
	if err != nil {
		return Relation{}, err
	}
	return r, nil
}

// UnmarshalText reads a relation as ParseRelation does.
func (r *Relation) UnmarshalText(text []byte) (err error) {
	*r, err = ParseRelation(string(text))
	return err
}

// MarshalText gives the relation as it was written.
func (r Relation) MarshalText() ([]byte, error) { return []byte(r.Text), nil }

// On gives the relation between the numbers of a record that is encoded by a complete
// schema: the sum of weights[i] times number of[i] is at most Bound. A feature must be
// one number, so a categorical one is an error.
func (r Relation) On(s *dataset.Schema) (of []int, weights []float64, err error) {
	f, err := featuresOf(s)
	if err != nil {
		return nil, nil, err
	}
	return r.on(f)
}

// features finds the number of a record that a feature is, -1 where it is several.
type features struct {
	number map[string]int
	names  []string
}

func featuresOf(s *dataset.Schema) (features, error) {
	if len(s.Shape) > 0 {
		return features{}, fmt.Errorf("the relation names features, and the records are arrays of shape %v, which have none", s.Shape)
	}
	f := features{number: make(map[string]int, len(s.Features))}
	for i, c := range s.Columns() {
		name := s.Features[c.Feature].Name
		if _, ok := f.number[name]; !ok {
			f.names = append(f.names, name)
		}
		f.number[name] = i
		if c.Category >= 0 {
			f.number[name] = -1
		}
	}
	return f, nil
}

func (r Relation) on(f features) (of []int, weights []float64, err error) {
	for _, t := range r.Terms {
		i, ok := f.number[t.Feature]
		switch {
		case !ok:
			return nil, nil, fmt.Errorf("the relation names %q, which is no feature%s", t.Feature, didYouMean(t.Feature, f.names))
		case i < 0:
			return nil, nil, fmt.Errorf("the relation names %q, which is categorical and so no number", t.Feature)
		}
		of, weights = append(of, i), append(weights, t.Weight)
	}
	return of, weights, nil
}

func didYouMean(text string, names []string) string {
	if nearest := assay.Nearest(text, names); nearest != "" {
		return fmt.Sprintf(": did you mean %q?", nearest)
	}
	return ""
}

type relationParser struct {
	text    string
	at      int
	weights map[string]float64 // left side less right side
	order   []string
	bound   float64 // right side less left side
}

func (p *relationParser) fail(at int, format string, args ...any) error {
	return &RelationError{At: utf8.RuneCountInString(p.text[:at]), Problem: fmt.Sprintf(format, args...)}
}

func (p *relationParser) relation() (Relation, error) {
	if len(p.text) > maxRelationText || !utf8.ValidString(p.text) {
		return Relation{}, &RelationError{Problem: fmt.Sprintf("a relation is text in UTF-8 of at most %d bytes", maxRelationText)}
	}
	if err := p.sum(1); err != nil {
		return Relation{}, err
	}
	sign := 1.0
	switch {
	case p.take("<="):
	case p.take(">="):
		sign = -1
	default:
		return Relation{}, p.fail(p.at, "here must be + or - and a term, or <= or >= and the other side, not %s", p.next())
	}
	if err := p.sum(-1); err != nil {
		return Relation{}, err
	}
	if p.space(); p.at < len(p.text) {
		return Relation{}, p.fail(p.at, "here must be the end, or + or - and a term, not %s", p.next())
	}
	r := Relation{Text: p.text, Bound: sign * p.bound}
	for _, name := range p.order {
		if w := sign * p.weights[name]; w != 0 {
			r.Terms = append(r.Terms, Term{name, w})
		}
		if w := p.weights[name]; math.IsInf(w, 0) || math.IsNaN(w) {
			return Relation{}, p.fail(0, "the weight of %q is no finite number", name)
		}
	}
	switch {
	case math.IsInf(r.Bound, 0) || math.IsNaN(r.Bound):
		return Relation{}, p.fail(0, "the sum of the numbers is not finite")
	case len(r.Terms) == 0:
		return Relation{}, p.fail(0, "the relation says nothing of any feature")
	}
	r.Bound += 0 // no negative zero
	return r, nil
}

// sum reads terms, which count for side (1 left, -1 right).
func (p *relationParser) sum(side float64) error {
	sign := side
	if p.take("-") {
		sign = -side
	} else {
		p.take("+")
	}
	for {
		if err := p.term(sign); err != nil {
			return err
		}
		switch {
		case p.take("+"):
			sign = side
		case p.take("-"):
			sign = -side
		default:
			return nil
		}
	}
}

func (p *relationParser) term(sign float64) error {
	p.space()
	start := p.at
	number, isNumber, err := p.number()
	if err != nil {
		return err
	}
	if isNumber && !p.take("*") {
		p.bound -= sign * number
		return nil
	}
	name, err := p.name()
	if err != nil {
		return err
	}
	weight := 1.0
	if isNumber {
		weight = number
	} else if p.take("*") {
		p.space()
		at := p.at
		if weight, isNumber, err = p.number(); err != nil {
			return err
		}
		if !isNumber {
			return p.fail(at, "a feature can be multiplied by a number alone, not by %s: the relation must be linear", p.next())
		}
	}
	if _, ok := p.weights[name]; !ok {
		if len(p.order) == maxRelationTerm {
			return p.fail(start, "the relation has more than %d features", maxRelationTerm)
		}
		p.order = append(p.order, name)
	}
	p.weights[name] += sign * weight
	return nil
}

var numberPattern = regexp.MustCompile(`^(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?`)

// number reads a number, if there is one.
func (p *relationParser) number() (float64, bool, error) {
	text := numberPattern.FindString(p.text[p.at:])
	if text == "" {
		return 0, false, nil
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, false, p.fail(p.at, "%s is no finite number", text[:min(len(text), 40)])
	}
	p.at += len(text)
	return v, true, nil
}

// name reads the name of a feature.
func (p *relationParser) name() (string, error) {
	p.space()
	rest := p.text[p.at:]
	if rest != "" && (rest[0] == '"' || rest[0] == '\'') {
		end := strings.IndexByte(rest[1:], rest[0])
		if end < 1 {
			return "", p.fail(p.at, "a name in quotes begins here, and does not end")
		}
		p.at += end + 2
		return rest[1 : end+1], nil
	}
	end := strings.IndexFunc(rest, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' && r != '.'
	})
	if end < 0 {
		end = len(rest)
	}
	if first, _ := utf8.DecodeRuneInString(rest); end == 0 || unicode.IsDigit(first) || first == '.' {
		return "", p.fail(p.at, "here must be a feature or a number, not %s", p.next())
	}
	p.at += end
	return rest[:end], nil
}

func (p *relationParser) space() {
	p.at += len(p.text[p.at:]) - len(strings.TrimLeft(p.text[p.at:], " \t\r\n"))
}

func (p *relationParser) take(symbol string) bool {
	p.space()
	if !strings.HasPrefix(p.text[p.at:], symbol) {
		return false
	}
	p.at += len(symbol)
	return true
}

// next says what comes next.
func (p *relationParser) next() string {
	p.space()
	r, _ := utf8.DecodeRuneInString(p.text[p.at:])
	if p.at == len(p.text) {
		return "the end"
	}
	return strconv.Quote(string(r))
}
