package substitution

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"assay"
	"assay/internal/method"
)

// Unit is one text under attack by one method, and the way to ask the model about it. It is for one goroutine.
type Unit struct {
	run    *run
	method method.Description
	label  int
	space  *Space // for the method
	judge  *Space // of its own, by which texts are judged
	rand   *rand.Rand

	queries   int
	exhausted bool
	undefined int
	fault     error
	found     []candidate // adversarial texts inside the space, those with the fewest changes first
}

// candidate is an adversarial text, as it was seen among others.
type candidate struct {
	text    string
	changed int
	lead    float64 // of the largest score over the label's
}

// kept is how many candidates are remembered: of equal changes, those with the greatest lead.
const kept = 4

func (r *run) newUnit(in Input, d method.Description) *Unit {
	b := r.attacker.Budget
	return &Unit{run: r, method: d, label: in.Label, space: newSpace(&b, in.Text), judge: newSpace(&r.attacker.Budget, in.Text),
		rand: stream(r.options.Seed, d.Name, in)}
}

// stream gives a unit's own randomness, from the digest of all that names it.
func stream(seed uint64, name string, in Input) *rand.Rand {
	data := binary.LittleEndian.AppendUint64(nil, seed)
	data = binary.LittleEndian.AppendUint64(data, uint64(len(name)))
	data = append(data, name...)
	data = binary.LittleEndian.AppendUint64(data, uint64(in.Label))
	data = append(data, in.Text...)
	return rand.New(rand.NewChaCha8(sha256.Sum256(data)))
}

// Words are those of the text itself, a copy.
func (u *Unit) Words() []string { return slices.Clone(u.space.clean.Words) }

// Label is the text's class, which the model gets right.
func (u *Unit) Label() int { return u.label }

// Space is where the attacker may go.
func (u *Unit) Space() *Space { return u.space }

// Rand is the unit's own stream: it depends on seed, method and unit alone.
func (u *Unit) Rand() *rand.Rand { return u.rand }

// Found reports whether an adversarial example within the space was among the texts asked about.
func (u *Unit) Found() bool { return len(u.found) > 0 }

// Leads asks for the scores of texts, given by their words (an empty one is left out), and gives for each by how much the best other
// class is ahead of the label; minus infinity where scores are no numbers.
func (u *Unit) Leads(ctx context.Context, texts [][]string) ([]float64, error) {
	return u.ask(ctx, assay.Scores, texts)
}

// Labels asks for the classes of texts alone, and reports which are not the label.
func (u *Unit) Labels(ctx context.Context, texts [][]string) ([]bool, error) {
	leads, err := u.ask(ctx, assay.Labels, texts)
	out := make([]bool, len(leads))
	for i, l := range leads {
		out[i] = l > 0
	}
	return out, err
}

// ask asks about texts, as many as queries are left for, and looks at the answers. Where they do not suffice for all,
// the answers so far are lost with a *method.BudgetError, and what they showed is remembered.
func (u *Unit) ask(ctx context.Context, needed assay.Access, texts [][]string) ([]float64, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if !u.method.Access.Includes(needed) {
		u.fault = cmp.Or(u.fault, fmt.Errorf("it asked for %s, and its description says that it needs access to %s: correct the description", needed, u.method.Access))
		return nil, u.fault
	}
	n, most := len(texts), u.run.attacker.Queries
	if most > 0 && u.queries+n > most {
		n, u.exhausted = most-u.queries, true
	}
	rows := make([]string, n)
	for i := range rows {
		rows[i] = u.space.clean.With(texts[i])
	}
	u.queries += n
	classes := u.run.classes
	scores := make([]float64, n*classes)
	if n > 0 {
		if err := u.run.target.Model.Predict(ctx, rows, scores); err != nil {
			u.fault = cmp.Or(u.fault, err)
			return nil, err
		}
	}
	leads := make([]float64, n)
	for i, text := range rows {
		leads[i] = u.look(text, texts[i], scores[i*classes:(i+1)*classes])
	}
	if n < len(texts) {
		return nil, &method.BudgetError{Queries: most}
	}
	return leads, nil
}

// look remembers a text if it is adversarial and inside the space, and gives its lead.
func (u *Unit) look(text string, words []string, scores []float64) float64 {
	best := winner(scores)
	if best < 0 {
		u.undefined++
		return math.Inf(-1)
	}
	lead := math.Inf(-1)
	for k, s := range scores {
		if k != u.label {
			lead = max(lead, s-scores[u.label])
		}
	}
	if best == u.label {
		return min(lead, 0) // of equals the first is the answer
	}
	if lead <= 0 {
		lead = math.SmallestNonzeroFloat64
	}
	if u.judge.Contains(text) != nil {
		return lead
	}
	c := candidate{text, u.space.changed(words), lead}
	if slices.ContainsFunc(u.found, func(k candidate) bool { return k.text == text }) {
		return lead
	}
	at, _ := slices.BinarySearchFunc(u.found, c, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.changed, b.changed), cmp.Compare(b.lead, a.lead), -1)
	})
	u.found = slices.Insert(u.found, at, c)
	u.found = u.found[:min(len(u.found), kept)]
	return lead
}

// winner is the class with the largest score, the first of equals, or -1 where a score is no number.
func winner(scores []float64) int {
	best := 0
	for k, s := range scores {
		if math.IsNaN(s) {
			return -1
		}
		if s > scores[best] {
			best = k
		}
	}
	return best
}
