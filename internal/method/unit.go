package method

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime/debug"
	"slices"

	"assay"
	"assay/internal/model"
)

// unit is one input under attack by one method. It is for one goroutine.
type unit struct {
	run    *run
	method Description
	label  int
	space  Space // by which rows are judged
	given  Space // the method's own copy
	rand   *rand.Rand
	draws  *draws // of a model that draws at random

	queries   int
	exhausted bool
	undefined int
	fault     error       // the first, which counts even if the method disregards it
	nearest   []candidate // adversarial rows inside the space, the nearest first
	surest    *candidate  // that with the greatest lead over the label
	further   []candidate // of a method that looks for the nearest, adversarial rows beyond Eps, the nearest first

	made map[[sha256.Size]byte][]float64 // the parameters of rows that Transform made, by their digests
}

// candidate is an adversarial row, as a batch has shown it.
type candidate struct {
	row        []float32
	distance   float64
	lead       float64   // of the largest score over the label's
	parameters []float64 // of the transformation that made it
}

// kept is how many of the nearest candidates are remembered. Next to the boundary, where the
// nearest lie, rounding can tip the answer, so the surest is remembered too.
const kept = 3

func (r *run) newUnit(in Input, d Description) *unit {
	u := &unit{
		run: r, method: d, label: in.Label, rand: stream(r.seed, d.Name, in), draws: newDraws(r.seed, d.Name, in),
		space: *r.attacker.space(r.target.Domain, in.X),
	}
	u.given = u.space
	u.given.Clean = slices.Clone(in.X)
	return u
}

// stream gives a unit's own randomness, from the digest of all that names it.
func stream(seed uint64, method string, in Input) *rand.Rand {
	return rand.New(rand.NewChaCha8(digest(seed, method, in)))
}

func digest(seed uint64, method string, in Input) [sha256.Size]byte {
	data := binary.LittleEndian.AppendUint64(nil, seed)
	data = binary.LittleEndian.AppendUint64(data, uint64(len(method)))
	data = append(data, method...)
	data = binary.LittleEndian.AppendUint64(data, uint64(in.Label))
	for _, v := range in.X {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	return sha256.Sum256(data)
}

// draws numbers what a model draws at random for one unit, so that it is never the same twice, and the same in every run.
type draws struct{ at uint64 }

func newDraws(seed uint64, purpose string, in Input) *draws {
	of := digest(seed, "draws of "+purpose, in)
	return &draws{binary.LittleEndian.Uint64(of[:])}
}

func (d *draws) next(n int) []uint64 {
	out := make([]uint64, n)
	for i := range out {
		d.at++
		out[i] = d.at
	}
	return out
}

// search lets a method search. What it has found is remembered.
func (u *unit) search(ctx context.Context, m Method) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it panicked, which is a fault of the method: %v\n%s", p, debug.Stack())
		}
	}()
	err = m.Perturb(ctx, u)
	var spent *BudgetError
	if u.fault != nil || errors.As(err, &spent) {
		return u.fault
	}
	return err
}

// confirm asks the confirming model about the candidates, the nearest first, until
// one is adversarial by itself.
func (u *unit) confirm(ctx context.Context) (found MethodResult, answer int, err error) {
	found = MethodResult{Method: u.method.Name, Queries: u.queries, Exhausted: u.exhausted, Undefined: u.undefined}
	candidates := u.nearest
	if u.surest != nil {
		candidates = append(candidates, *u.surest)
	}
	for _, c := range candidates {
		v, err := u.run.alone(ctx, c.row, u.draws)
		if err != nil {
			return found, 0, err
		}
		if answer, most := u.run.other(v, u.label); most && u.contains(c.row) == nil {
			found.Success, found.Distance, found.Example, found.Parameters = true, c.distance, c.row, c.parameters
			if u.method.Minimal {
				found.Nearest = c.distance
			}
			return found, answer, nil
		}
	}
	found.Unconfirmed = len(candidates) > 0
	found.Nearest, err = u.confirmFurther(ctx)
	return found, 0, err
}

func (u *unit) Clean() []float32 { return u.given.Clean }
func (u *unit) Label() int       { return u.label }
func (u *unit) Classes() int     { return u.run.classes }
func (u *unit) Space() *Space    { return &u.given }
func (u *unit) Rand() *rand.Rand { return u.rand }
func (u *unit) Found() bool      { return len(u.nearest) > 0 }

func (u *unit) Pool(ctx context.Context) ([][]float32, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	classes, err := u.run.broker.poolClasses()
	if err != nil {
		return nil, u.failed(err)
	}
	var rows [][]float32
	for i, class := range classes {
		if class >= 0 && class != u.label && class < u.run.classes {
			rows = append(rows, slices.Clone(u.run.target.Pool[i]))
		}
	}
	return rows, nil
}

func (u *unit) Scores(ctx context.Context, rows []float32) ([]float32, error) {
	scores, err := u.predict(ctx, assay.Scores, rows)
	if err != nil {
		return nil, err
	}
	out := make([]float32, len(scores))
	for i, v := range scores {
		out[i] = float32(v)
	}
	return out, nil
}

func (u *unit) Labels(ctx context.Context, rows []float32) ([]int, error) {
	scores, err := u.predict(ctx, assay.Labels, rows)
	if err != nil {
		return nil, err
	}
	out := make([]int, 0, len(scores)/u.run.classes)
	for row := range slices.Chunk(scores, u.run.classes) {
		out = append(out, winner(row))
	}
	return out, nil
}

// predict asks for the scores of rows on behalf of one who needs a kind of access.
func (u *unit) predict(ctx context.Context, needed assay.Access, rows []float32) ([]float64, error) {
	n := len(rows) / len(u.space.Clean)
	q := &question{rows: rows, scores: make([]float64, n*u.run.columns)}
	if u.run.random {
		q.draws = u.draws.next(n)
	}
	return q.scores[:n*u.run.classes], u.ask(ctx, needed, q)
}

func (u *unit) Gradient(ctx context.Context, loss model.Loss, target int, x []float32) (Gradient, error) {
	if !slices.Contains(model.Losses(), loss) {
		return Gradient{}, u.failed(fmt.Errorf("it asked for the gradient of the loss %q, which is none of %q", loss, model.Losses()))
	}
	if loss.Targeted() && (target < 0 || target >= u.run.classes || target == u.label) {
		return Gradient{}, u.failed(fmt.Errorf("it asked for the gradient of a loss about class %d, and the classes other than the label are of 0 to %d", target, u.run.classes-1))
	}
	if len(x) != len(u.space.Clean) {
		return Gradient{}, u.failed(fmt.Errorf("it asked for a gradient at %d numbers, and a row has %d", len(x), len(u.space.Clean)))
	}
	q := &question{
		loss: loss, rows: x, label: int32(u.label), target: int32(target),
		scores: make([]float64, u.run.columns), slope: make([]float32, len(x)), surrogate: u.method.Surrogate,
	}
	if u.run.random {
		q.draws = u.draws.next(u.run.draws)
	}
	if err := u.ask(ctx, assay.Gradients, q); err != nil {
		return Gradient{}, err
	}
	lost := false
	for i, v := range q.slope {
		if !finite(v) {
			q.slope[i], lost = 0, true
		}
	}
	if lost && winner(q.scores[:u.run.classes]) >= 0 { // else it is counted
		u.undefined++
	}
	g := Gradient{Loss: q.value, Slope: q.slope, Scores: make([]float32, u.run.classes)}
	for i := range g.Scores {
		g.Scores[i] = float32(q.scores[i])
	}
	return g, nil
}

// ask has a question answered for one who needs a kind of access, counts it, and looks at the answer. The first scores of
// the question are then those of the classes, as the unit shows them.
func (u *unit) ask(ctx context.Context, needed assay.Access, q *question) error {
	if err := u.spend(ctx, needed, q); err != nil || len(q.rows) == 0 {
		return err
	}
	if err := u.run.broker.ask(q); err != nil {
		return u.failed(err)
	}
	classes, columns, size := u.run.classes, u.run.columns, len(u.space.Clean)
	for i := range len(q.scores) / columns {
		to := q.scores[i*classes : (i+1)*classes]
		u.withoutRefusal(to, q.scores[i*columns:(i+1)*columns])
		if err := u.look(q.rows[i*size:(i+1)*size], to); err != nil {
			return u.failed(err)
		}
	}
	return nil
}

// withoutRefusal writes the scores of the classes: the label's is the refusal's where that is greater.
func (u *unit) withoutRefusal(to, scores []float64) {
	if len(to) == len(scores) {
		return // they are the same memory
	}
	refusal := scores[len(to)]
	copy(to, scores)
	to[u.label] = max(to[u.label], refusal)
}

// spend counts the queries of a question, or tells why it cannot be asked.
func (u *unit) spend(ctx context.Context, needed assay.Access, q *question) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if !u.method.Access.Includes(needed) {
		return u.failed(fmt.Errorf("it asked for %s, and its description says that it needs access to %s: correct the description", needed, u.method.Access))
	}
	if len(q.rows)%len(u.space.Clean) != 0 {
		return u.failed(fmt.Errorf("it asked about %d numbers, which are no whole rows of %d", len(q.rows), len(u.space.Clean)))
	}
	n, most := max(len(q.rows)/len(u.space.Clean), len(q.draws)), u.run.attacker.Queries
	if most > 0 && u.queries+n > most {
		u.exhausted = true
		return &BudgetError{Queries: most}
	}
	u.queries += n
	return nil
}

func (u *unit) failed(err error) error {
	u.fault = cmp.Or(u.fault, err)
	return err
}

// look remembers a row if it is adversarial and inside the space. Of a model that draws at random the answer may be a
// chance: most of some further draws decide.
func (u *unit) look(x []float32, scores []float64) error {
	answer := winner(scores)
	if answer < 0 {
		u.undefined++
	}
	if answer < 0 || answer == u.label {
		return nil
	}
	c := candidate{lead: scores[answer] - scores[u.label]}
	c.distance, c.parameters = u.measure(x)
	if u.method.Minimal && c.distance > u.space.Eps {
		return u.lookFurther(c, x)
	}
	for _, known := range u.nearest {
		if slices.Equal(known.row, x) {
			return nil
		}
	}
	near := len(u.nearest) < kept || c.distance < u.nearest[kept-1].distance
	sure := u.surest == nil || c.lead > u.surest.lead
	if !near && !sure || u.contains(x) != nil {
		return nil
	}
	if u.run.random {
		if most, err := u.mostly(x); err != nil || !most {
			return err
		}
	}
	c.row = slices.Clone(x)
	if sure {
		u.surest = &c
	}
	if near {
		at, _ := slices.BinarySearchFunc(u.nearest, c, func(a, b candidate) int {
			return cmp.Or(cmp.Compare(a.distance, b.distance), -1) // after its equals
		})
		u.nearest = slices.Insert(u.nearest, at, c)
		u.nearest = u.nearest[:min(len(u.nearest), kept)]
	}
	return nil
}

// mostly reports whether a row is adversarial in two thirds of some draws: more than confirms it, so that a search does not end
// where the confirmation is a matter of chance. The harness asks: it costs the attacker no query.
func (u *unit) mostly(x []float32) (bool, error) {
	columns, n := u.run.columns, 0
	q := &question{rows: slices.Repeat(x, confirming), scores: make([]float64, confirming*columns), draws: u.draws.next(confirming)}
	if err := u.run.broker.ask(q); err != nil {
		return false, err
	}
	for scores := range slices.Chunk(q.scores, columns) {
		if k := winner(scores); k >= 0 && k != u.label && k < u.run.classes {
			n++
		}
	}
	return 3*n >= 2*confirming, nil
}
