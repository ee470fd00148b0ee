package evasion

import (
	"fmt"
	"slices"
	"strings"

	"assay"
	"assay/internal/criteria"
	"assay/internal/method"
	"assay/internal/stat"
)

// Evidence is what a battery recorded. Its checks are computed from it alone, so that
// they can be computed again from a file.
type Evidence struct {
	Access   assay.Access         `json:"access"`
	Norm     method.Norm          `json:"norm"`
	Eps      float64              `json:"eps"`
	Queries  int                  `json:"queries,omitempty"` // that the attacker has, 0 for any number
	Effort   Effort               `json:"effort"`
	Methods  []method.Description `json:"methods"`
	Units    []method.Result      `json:"units"`
	Controls *Controls            `json:"controls"`
}

// What the checks allow. Random search is not the same at every seed, and every method
// misses some units by chance: a part of the units may go the wrong way before a check
// fails, and it fails only where the exact lower bound of that part, at 95 %, is above it.
const (
	slack      = 0.02 // of the units
	confidence = 0.95
	fewest     = 20   // units that say anything of a rate
	power      = 0.90 // of the units that can be broken, and are to be
	masked     = 0.05 // of the units, with gradients that lead nowhere
	left       = 0.05 // of the units, that may withstand an attacker without limits
)

// Checks tells whether the battery could have found what it did not find. After Carlini et al. (2019,
// arXiv:1902.06705, sections 4 and 5) and the flags of AutoAttack (Croce and Hein 2020). A check that has
// no meaning for the attacker's access passes and says so.
func (e *Evidence) Checks() []criteria.Check {
	checks := []criteria.Check{e.enabled(), e.enough(), e.confirmed()}
	if e.Controls == nil {
		return append(checks, criteria.Check{Name: "positive-control", Detail: "there are no controls"})
	}
	if e.Controls.Tree != nil {
		checks = append(checks, e.knownTree())
	}
	return append(checks,
		e.repeats(), e.iterative(), e.grows(), e.large(), e.whiteBox(), e.converged(), e.gradients(),
		e.positive(), e.negative(), e.known())
}

func passed(name string, ok bool, format string, args ...any) criteria.Check {
	return criteria.Check{Name: name, Passed: ok, Detail: fmt.Sprintf(format, args...)}
}

// many reports whether more than a part of n units is shown by k of them.
func many(k, n int, part float64) bool {
	lower, err := stat.BinomialLower(k, n, confidence)
	return n == 0 || err != nil || lower > part
}

// right gives the units that the model gets right.
func (e *Evidence) right() []method.Result {
	return slices.DeleteFunc(slices.Clone(e.Units), func(r method.Result) bool { return !r.Correct })
}

// kind tells of each method's name whether it is of a kind.
func (e *Evidence) kind(is func(method.Description) bool) map[string]bool {
	names := map[string]bool{}
	for _, d := range e.Methods {
		if is(d) {
			names[d.Name] = true
		}
	}
	return names
}

// broke reports whether one of some methods broke a unit.
func broke(r method.Result, names map[string]bool) bool {
	return slices.ContainsFunc(r.Methods, func(m method.MethodResult) bool { return m.Success && names[m.Method] })
}

// Broken counts, of n units that the model gets right, those that some method broke.
func (e *Evidence) Broken() (broken, n int) {
	right := e.right()
	for _, r := range right {
		if !r.Robust {
			broken++
		}
	}
	return broken, len(right)
}

// Followed counts, of n units that the model gets right, those that methods broke which follow its gradients as they are, and
// those that methods broke which follow surrogates. Without such methods all is 0.
func (e *Evidence) Followed() (exact, surrogate, n int) {
	of := func(surrogate bool) map[string]bool {
		return e.kind(func(d method.Description) bool { return d.Access == assay.Gradients && d.Surrogate == surrogate })
	}
	through := of(true)
	if len(through) == 0 {
		return 0, 0, 0
	}
	n, exact, _ = e.compare(of(false), nil)
	_, surrogate, _ = e.compare(through, nil)
	return exact, surrogate, n
}

// compare counts the right units, those that some methods broke, and those that only others did.
func (e *Evidence) compare(better, worse map[string]bool) (n, by, only int) {
	for _, r := range e.right() {
		n++
		switch {
		case broke(r, better):
			by++
		case broke(r, worse):
			only++
		}
	}
	return n, by, only
}

func (e *Evidence) enabled() criteria.Check {
	const name = "attack-enabled"
	if !(e.Eps > 0) {
		return passed(name, false, "eps is %g: nothing may change, so nothing can be found", e.Eps)
	}
	if len(e.Methods) == 0 {
		return passed(name, false, "no method ran")
	}
	queries := map[string]int{}
	for _, r := range e.right() {
		for _, m := range r.Methods {
			queries[m.Method] += m.Queries
		}
	}
	for _, d := range e.Methods {
		if queries[d.Name] == 0 {
			return passed(name, false, "%s asked the model nothing", d.Name)
		}
	}
	return passed(name, true, "%d methods at eps %g in %s, each of which asked the model", len(e.Methods), e.Eps, e.Norm)
}

func (e *Evidence) enough() criteria.Check {
	n, controls := len(e.right()), 0
	if e.Controls != nil {
		controls = e.Controls.Units
	}
	return passed("enough-units", n >= fewest && controls >= fewest,
		"the model gets %d units right, and %d of the controls; at least %d of each say something", n, controls, fewest)
}

func (e *Evidence) confirmed() criteria.Check {
	found, not := 0, 0
	for _, r := range e.right() {
		for _, m := range r.Methods {
			if m.Success {
				found++
			}
			if m.Unconfirmed {
				not++
			}
		}
	}
	return passed("counterexamples-confirmed", not == 0 || !many(not, found+not, slack),
		"%d of %d adversarial examples are none when the model is asked about them alone, without optimisation; they do not count", not, found+not)
}

func (e *Evidence) repeats() criteria.Check {
	if e.Controls.Random {
		return passed("answers-repeat", e.Controls.Drawn == 0,
			"the model draws at random, and what it draws is given: gradients are averaged over draws, and most of further draws decide; asked twice with the same draws, it gives other scores for %d of %d",
			e.Controls.Drawn, e.Controls.Units)
	}
	return passed("answers-repeat", e.Controls.Units > 0 && e.Controls.Drawn == 0,
		"asked twice about the same input, the model gives other scores for %d of %d; a model that draws at random needs attacks that average over its draws",
		e.Controls.Drawn, e.Controls.Units)
}

func (e *Evidence) iterative() criteria.Check {
	const name = "iterative-beats-single-step"
	single := e.kind(func(d method.Description) bool { return !d.Iterative && !d.Undirected })
	if len(single) == 0 {
		single = e.kind(func(d method.Description) bool { return d.Undirected })
	}
	iterative := e.kind(func(d method.Description) bool { return d.Iterative })
	n, by, only := e.compare(iterative, single)
	return passed(name, n > 0 && len(iterative) > 0 && !many(only, n, slack),
		"of %d units, methods of many steps broke %d; %d more only %s did", n, by, only, list(single))
}

func (e *Evidence) whiteBox() criteria.Check {
	const name = "white-box-beats-black-box"
	if e.Access != assay.Gradients {
		return passed(name, true, "does not apply: the attacker gets %s alone", e.Access)
	}
	if e.Norm == method.L0 {
		return passed(name, true, "does not apply: in L0 the battery rests on a search that follows no gradients, since those that do break less")
	}
	white := e.kind(func(d method.Description) bool { return d.Access == assay.Gradients })
	if len(white) == 0 {
		return passed(name, false, "no method could follow gradients: the model gives none")
	}
	n, by, only := e.compare(white, e.kind(func(d method.Description) bool { return d.Access != assay.Gradients }))
	return passed(name, n > 0 && !many(only, n, slack),
		"of %d units, methods with gradients broke %d; %d more only methods without did", n, by, only)
}

func (e *Evidence) grows() criteria.Check {
	const name = "success-grows-with-budget"
	c := e.Controls.Curve
	if len(c) < 2 {
		return passed(name, false, "success was observed at %d values of eps", len(c))
	}
	worst, at := 0, 0
	var text []string
	for i, p := range c {
		text = append(text, fmt.Sprintf("%d at %.4g", len(p.Broken), p.Eps))
		if i > 0 {
			if k := missing(c[i-1].Broken, p.Broken); k > worst {
				worst, at = k, i
			}
		}
	}
	detail := fmt.Sprintf("of %d units broken: %s", c[0].Units, strings.Join(text, ", "))
	if worst > 0 {
		detail += fmt.Sprintf("; at %.4g %d of those broken with less were not", c[at].Eps, worst)
	}
	return passed(name, c[0].Units > 0 && !many(worst, c[0].Units, slack), "%s", detail)
}

// missing counts the units of one list that another lacks.
func missing(from, in []int64) (n int) {
	for _, i := range from {
		if _, ok := slices.BinarySearch(in, i); !ok {
			n++
		}
	}
	return n
}

func (e *Evidence) large() criteria.Check {
	const name = "large-budget-succeeds"
	if len(e.Controls.Curve) == 0 {
		return passed(name, false, "no eps was tried")
	}
	last := e.Controls.Curve[len(e.Controls.Curve)-1]
	limit := left
	if e.Controls.Bound {
		limit = max(limit, 1/float64(e.Controls.Classes)) // what is fixed may decide a class
	}
	robust := last.Units - len(last.Broken)
	return passed(name, last.Units > 0 && float64(robust) <= limit*float64(last.Units),
		"%d of %d units withstand the strongest methods at eps %.4g, as wide as the domain; at most %.0f %% may", robust, last.Units, last.Eps, 100*limit)
}

func (e *Evidence) converged() criteria.Check {
	const name = "converged"
	if e.Access != assay.Gradients {
		return passed(name, true, "does not apply: the attacker's queries limit the search")
	}
	p := e.at(e.Eps)
	if p == nil || e.Controls.Doubled == nil {
		return passed(name, false, "it was not tried with more steps and restarts")
	}
	more := missing(e.Controls.Doubled.Broken, p.Broken)
	return passed(name, p.Units > 0 && !many(more, p.Units, slack),
		"of %d units, %d were broken, and %d more with twice the steps and restarts", p.Units, len(p.Broken), more)
}

// at gives the curve at an eps.
func (e *Evidence) at(eps float64) *Point {
	for i := range e.Controls.Curve {
		if e.Controls.Curve[i].Eps == eps {
			return &e.Controls.Curve[i]
		}
	}
	return nil
}

func (e *Evidence) gradients() criteria.Check {
	const name = "gradients-not-masked"
	if e.Access != assay.Gradients {
		return passed(name, true, "does not apply: the attacker gets %s alone", e.Access)
	}
	s := e.Controls.Slopes
	if s == nil {
		return passed(name, false, "the model gives no gradients, and the attacker has the model: its gradients are hidden, unless it is of a kind that has none, "+
			"for which the attacker's access is scores")
	}
	bad := s.NotFinite + s.Zero + s.Flat + s.Saturated
	detail := fmt.Sprintf("of %d units, %d have a gradient that is not finite, %d one of zero, %d one along which no score changes, and of %d it vanishes for most numbers on which the scores depend",
		s.Units, s.NotFinite, s.Zero, s.Flat, s.Saturated)
	if len(s.Replaced) > 0 {
		detail += "; the gradient of the identity stands in for that of " + strings.Join(s.Replaced, ", ")
	}
	if len(s.Stopped) > 0 {
		detail += "; nothing flows through " + strings.Join(s.Stopped, ", ")
	}
	if len(s.Loops) > 0 {
		detail += "; it runs parts again and again in " + strings.Join(s.Loops, ", ")
	}
	if len(s.Refining) > 0 {
		detail += "; in " + strings.Join(s.Refining, ", ") + " it changes what has the shape of its input, as a model does that optimises its input before it answers, which needs an attack made for it"
	}
	return passed(name, s.Units > 0 && len(s.Refining) == 0 && !many(bad, s.Units, masked), "%s", detail)
}

func (e *Evidence) positive() criteria.Check {
	const name = "positive-control"
	if e.Controls.Known == nil {
		return passed(name, false, "there is no linear model to break: %s", e.Controls.None)
	}
	k := e.Controls.Known
	broken := 0
	for _, a := range k.All {
		if a.Broken {
			broken++
		}
	}
	return passed(name, len(k.All) > 0 && float64(broken) >= power*float64(len(k.All)),
		"at eps %.4g, which suffices for every unit of a linear model of the same data, %d of %d were broken", k.Most, broken, len(k.All))
}

func (e *Evidence) negative() criteria.Check {
	zero, robust, wrong := len(e.Controls.Zero.Broken), 0, 0
	if e.Controls.Known != nil {
		robust, wrong = e.Controls.Known.unbreakable()
	}
	// Of a model that draws at random, an input on the boundary may be of either class.
	quiet := zero == 0 || e.Controls.Random && !many(zero, e.Controls.Zero.Units, slack)
	return passed("negative-control", quiet && wrong == 0 && e.Controls.Zero.Units > 0,
		"at eps 0 %d of %d units were broken; of the %d units of the linear model that nobody can break %d were", zero, e.Controls.Zero.Units, robust, wrong)
}

// rounding is how near to the exact limit a decision may depend on 32-bit numbers.
const rounding = 1e-3

func (e *Evidence) known() criteria.Check {
	const name = "known-answer"
	k := e.Controls.Known
	if k == nil {
		return passed(name, false, "there is no linear model with a known answer: %s", e.Controls.None)
	}
	can, did := 0, 0
	for _, a := range k.Beyond {
		if a.Limit <= k.Eps {
			can++
			if a.Broken {
				did++
			}
		}
	}
	cannot, wrong := k.unbreakable()
	return passed(name, can > 0 && float64(did) >= power*float64(can) && wrong == 0,
		"on a linear model, %d of %d units were broken at %.4g times the eps that exactly suffices for half of them, %.4g, and at that eps %d of the %d that nobody can break",
		did, can, k.Factor, k.Eps, wrong, cannot)
}

// unbreakable counts the units that cannot be broken at the eps for half, and those that
// were all the same.
func (k *Known) unbreakable() (n, broken int) {
	for _, a := range k.Exact {
		if k.Eps < a.Limit*(1-rounding) {
			n++
			if a.Broken {
				broken++
			}
		}
	}
	return n, broken
}

func list(names map[string]bool) string {
	if len(names) == 0 {
		return "others"
	}
	var out []string
	for n := range names {
		out = append(out, n)
	}
	slices.Sort(out)
	return strings.Join(out, " and ")
}
