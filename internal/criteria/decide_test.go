package criteria

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"assay"
)

// attack is a criterion on the attack success rate.
func attack(limit float64, rule Rule, n int) Criterion {
	return Criterion{Metric: "attack-success-rate", Relation: assay.AtMost, Limit: limit, Confidence: 0.95, Sampling: Sampling{Rule: rule, N: n}}
}

// outcomes are n units, the events first.
func outcomes(events, n int) Observations {
	o := Observations{Outcomes: make([]bool, n)}
	for i := range events {
		o.Outcomes[i] = true
	}
	return o
}

// spread are n units with the events evenly among them.
func spread(events, n int) Observations {
	o := Observations{Outcomes: make([]bool, n)}
	for i := range events {
		o.Outcomes[(2*i+1)*n/(2*events)] = true
	}
	return o
}

// mass is the binomial probability of k of n, computed apart from internal/stat.
func mass(k, n int, p float64) float64 {
	lg := func(x int) float64 { v, _ := math.Lgamma(float64(x + 1)); return v }
	return math.Exp(lg(n) - lg(k) - lg(n-k) + float64(k)*math.Log(p) + float64(n-k)*math.Log1p(-p))
}

// TestFixedErrors: at the limit itself, over every number of events that there can be, a
// fixed plan says adequate or inadequate with a probability of at most the error stated.
func TestFixedErrors(t *testing.T) {
	for _, confidence := range []float64{0.9, 0.95, 0.99} {
		for _, limit := range []float64{0.01, 0.05, 0.2, 0.5, 0.93} {
			for _, n := range []int{1, 20, 59, 150, 400} {
				for _, c := range []Criterion{attack(limit, Fixed, n), {Metric: "robust-accuracy", Relation: assay.AtLeast, Limit: limit, Sampling: Sampling{Rule: Fixed, N: n}}} {
					c.Confidence = confidence
					probability := map[assay.Outcome]float64{}
					for k := 0; k <= n; k++ {
						probability[c.question().outcomeOf(proportion{k, n}.bounds(confidence))] += mass(k, n, limit)
					}
					for _, outcome := range []assay.Outcome{assay.Adequate, assay.Inadequate} {
						if p := probability[outcome]; p > 1-confidence+1e-9 {
							t.Errorf("%s, n = %d: %s with a probability of %v at the limit", c, n, outcome, p)
						}
					}
					if total := probability[assay.Adequate] + probability[assay.Inadequate] + probability[assay.Undecided]; math.Abs(total-1) > 1e-9 {
						t.Errorf("the probabilities add up to %v", total)
					}
				}
			}
		}
	}
}

// TestSequentialErrors: over many runs at the limit a sequential plan is wrong on either
// side in no more runs than it states, but for chance; at half the limit it is mostly right.
func TestSequentialErrors(t *testing.T) {
	c := attack(0.1, Sequential, 600)
	random := rand.New(rand.NewPCG(1, 2))
	for _, test := range []struct {
		runs                       int
		rate, adequate, inadequate float64
	}{
		{10_000, 0.1, 0.05, 0.05}, // both are errors here, as the limit is where they meet
		{1000, 0.12, 0.05, 1},
		{1000, 0.08, 1, 0.05},
	} {
		runs := test.runs
		if testing.Short() {
			runs = 500
		}
		count := map[assay.Outcome]int{}
		for range runs {
			m, err := NewMonitor(c)
			if err != nil {
				t.Fatal(err)
			}
			for !m.Observe(random.Float64() < test.rate) {
			}
			count[m.Outcome()]++
		}
		chance := 3 * math.Sqrt(0.05*0.95*float64(runs)) // three standard deviations
		for outcome, most := range map[assay.Outcome]float64{assay.Adequate: test.adequate, assay.Inadequate: test.inadequate} {
			if got := float64(count[outcome]); got > most*float64(runs)+chance {
				t.Errorf("at a rate of %v, %v of %d runs are %s", test.rate, got, runs, outcome)
			}
		}
		if count[assay.Adequate]+count[assay.Inadequate]+count[assay.Undecided] != runs {
			t.Errorf("the outcomes are %v", count)
		}
		t.Logf("rate %v: %v of %d runs", test.rate, count, runs)
	}
}

// TestSequentialSaves: at half the limit a sequential plan looks at no more than half
// as many units, in the mean, as a fixed plan with the same two error rates.
func TestSequentialSaves(t *testing.T) {
	for _, c := range []Criterion{attack(0.05, Sequential, 2000), attack(0.1, Sequential, 1000), attack(0.2, Sequential, 500)} {
		p, err := c.Plan()
		if err != nil {
			t.Fatal(err)
		}
		fixed := c
		fixed.Sampling = Sampling{Rule: Fixed, N: maxUnits, Power: p.Power, Assumed: c.Limit / 2}
		low, high := 1, 5000 // the smallest fixed plan of that power
		for low < high {
			fixed.Sampling.N = (low + high) / 2
			if _, err := fixed.Plan(); err == nil {
				high = fixed.Sampling.N
			} else {
				low = fixed.Sampling.N + 1
			}
		}
		t.Logf("%s: %.0f units expected of at most %d; a fixed plan of the same power, %.4f, takes about %d", c, p.Expected, p.N, p.Power, high)
		if p.Expected > float64(high)/2 {
			t.Errorf("%s: %.0f units are expected, more than half of %d", c, p.Expected, high)
		}
	}
}

// TestMonitor: watched unit by unit, a plan ends where Decide says that it was decided,
// as it was decided, and what comes afterwards changes nothing.
func TestMonitor(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 60 {
		c := attack([]float64{0.05, 0.3}[random.IntN(2)], []Rule{Fixed, Sequential}[random.IntN(2)], 1+random.IntN(300))
		if random.IntN(2) == 0 {
			c.Metric, c.Relation, c.Limit = "robust-accuracy", assay.AtLeast, 1-c.Limit
		}
		rate := random.Float64()
		o := Observations{}
		m, err := NewMonitor(c)
		if err != nil {
			t.Fatal(err)
		}
		for done := false; !done; {
			event := random.Float64() < rate
			o.Outcomes = append(o.Outcomes, event)
			done = m.Observe(event)
		}
		d := Decide(c, o, nil, nil)
		if m.N() != len(o.Outcomes) || d.N != m.N() || d.Outcome != m.Outcome() {
			t.Errorf("%s by %s: watched %s after %d, decided %s after %d", c, c.Sampling.Rule, m.Outcome(), m.N(), d.Outcome, d.N)
		}
		for range 50 {
			o.Outcomes = append(o.Outcomes, random.Float64() < 0.5)
			m.Observe(true)
		}
		if after := Decide(c, o, nil, nil); after.Reason != d.Reason || m.N() != d.N {
			t.Errorf("what came after the end changed %q to %q", d.Reason, after.Reason)
		}
		bears(t, c, d)
	}
}

// bears checks that a decision's bounds bear out its outcome.
func bears(t *testing.T, c Criterion, d Decision) {
	t.Helper()
	good, bad := d.Upper, d.Lower
	if c.Relation == assay.AtLeast {
		good, bad = d.Lower, d.Upper
	}
	switch d.Outcome {
	case assay.Adequate:
		if good == nil || !c.Relation.Holds(*good, c.Limit) {
			t.Errorf("adequate, but not by its bound: %s", d.Reason)
		}
	case assay.Inadequate:
		if bad == nil || c.Relation.Holds(*bad, c.Limit) && *bad != c.Limit {
			t.Errorf("inadequate, but not by its bound: %s", d.Reason)
		}
	}
	if d.Lower != nil && *d.Lower > *d.Estimate || d.Upper != nil && *d.Upper < *d.Estimate {
		t.Errorf("the estimate lies outside its bounds: %s", d.Reason)
	}
	if d.Outcome != assay.Undecided && d.Outcome != assay.Invalid && d.P > 1-c.Confidence+tolerance {
		t.Errorf("%s at p = %v", d.Outcome, d.P)
	}
}

// TestDecide: what is decided, and in which words.
func TestDecide(t *testing.T) {
	robust := Criterion{Metric: "robust-accuracy", Relation: assay.AtLeast, Limit: 0.9, Confidence: 0.95, Sampling: Sampling{Rule: Fixed, N: 400}}
	census := Criterion{Metric: "record-conformity", Relation: assay.AtLeast, Limit: 1, Confidence: 0.95, Sampling: Sampling{Rule: Census}}
	findings := Criterion{Metric: "open-findings", Relation: assay.AtMost, Limit: 0, Confidence: 0.95, Sampling: Sampling{Rule: Census}}
	harm := Criterion{Metric: "harm-weighted-rate", Relation: assay.AtMost, Limit: 0.2, Confidence: 0.95, Sampling: Sampling{Rule: Fixed, N: 200}}
	slow := Criterion{Metric: "response-time-p95", Relation: assay.AtMost, Limit: 60, Confidence: 0.95, Sampling: Sampling{Rule: Fixed, N: 100}}
	times := func(longest float64) Observations {
		o := Observations{}
		for i := range 100 {
			o.Values = append(o.Values, longest*float64(i+1)/100)
		}
		return o
	}
	for _, test := range []struct {
		name      string
		criterion Criterion
		o         Observations
		outcome   assay.Outcome
		needed    int
		reason    string
	}{
		{"adequate", attack(0.05, Fixed, 400), outcomes(12, 400), assay.Adequate, 0,
			"The attack succeeded on 12 of 400 inputs (3.0 %); with 95 % confidence the rate is at most 4.8 %, within the limit of 5 %."},
		{"inadequate", attack(0.05, Fixed, 400), outcomes(40, 400), assay.Inadequate, 0,
			"The attack succeeded on 40 of 400 inputs (10.0 %); with 95 % confidence the rate is at least 7.6 %, above the limit of 5 %."},
		{"undecided", attack(0.05, Fixed, 400), outcomes(16, 400), assay.Undecided, -1,
			"The attack succeeded on 16 of 400 inputs (4.0 %); with 95 % confidence each way the rate is between 2.5 % and 6.0 %, which leaves the limit of 5 % open; a plan made anew, of"},
		{"at the limit", attack(0.05, Fixed, 400), outcomes(20, 400), assay.Undecided, 0, "too near the limit for any feasible number to decide"},
		{"total failure", attack(0.05, Fixed, 400), outcomes(400, 400), assay.Inadequate, 0,
			"The attack succeeded on 400 of 400 inputs (100.0 %); with 95 % confidence the rate is at least 99.3 %, above the limit of 5 %."},
		{"total failure, one by one", attack(0.05, Sequential, 400), outcomes(400, 400), assay.Inadequate, 0, "(100.0 %)"},
		{"no failure, one by one", attack(0.05, Sequential, 400), outcomes(0, 400), assay.Adequate, 0, "within the limit of 5 %"},
		{"too few, one by one", attack(0.05, Sequential, 400), outcomes(0, 30), assay.Undecided, -1, "more inputs would decide if what was observed stays"},
		{"spent, one by one", attack(0.05, Sequential, 100), spread(4, 100), assay.Undecided, -1, "more inputs would decide"},
		{"too few", attack(0.05, Fixed, 400), outcomes(0, 312), assay.Undecided, 88,
			"Nothing is decided: the plan asked for 400 inputs, 312 were observed, and a plan of a fixed size decides when it is complete."},
		{"too many", attack(0.05, Fixed, 59), outcomes(0, 80), assay.Adequate, 0, "0 of 59"},
		{"nothing", attack(0.05, Fixed, 400), Observations{}, assay.Undecided, 0, "nothing was observed"},
		{"nothing, one by one", attack(0.05, Sequential, 400), Observations{}, assay.Undecided, 0, "nothing was observed"},
		{"an error", attack(0.05, Fixed, 3), Observations{Outcomes: make([]bool, 400), Problem: "the model could not be run"}, assay.Undecided, 0, "Nothing is decided: the model could not be run."},
		{"robust", robust, outcomes(380, 400), assay.Adequate, 0,
			"The model stayed right under attack on 380 of 400 inputs (95.0 %); with 95 % confidence the accuracy is at least 92.8 %, not below the limit of 90 %."},
		{"not robust", robust, outcomes(300, 400), assay.Inadequate, 0, "the accuracy is at most 78.5 %, below the limit of 90 %."},
		{"never right", robust, outcomes(0, 400), assay.Inadequate, 0, "0 of 400"},
		{"census", census, Observations{Outcomes: outcomes(50, 50).Outcomes, Population: 50}, assay.Adequate, 0,
			"What was asked for was found in 50 of 50 records (100.0 %), all that there are: not below the limit of 100 %."},
		{"census, one bad", census, outcomes(49, 50), assay.Inadequate, 0, "below the limit of 100 %."},
		{"census, not all", census, Observations{Outcomes: outcomes(49, 49).Outcomes, Population: 50}, assay.Undecided, 1, "49 of 50 records were observed, and a census takes all"},
		{"count", findings, Observations{Counted: true}, assay.Adequate, 0, "The number of open findings is 0: within the limit of 0."},
		{"count, some", findings, Observations{Counted: true, Found: 3}, assay.Inadequate, 0, "The number of open findings is 3: above the limit of 0."},
		{"not counted", findings, Observations{}, assay.Undecided, 0, "nothing was counted"},
		{"harmless", harm, Observations{Values: make([]float64, 200)}, assay.Adequate, 0, "The mean harm was 0.0 % over 200 inputs; with 95 % confidence the mean harm is at most"},
		{"harmful", harm, Observations{Values: filled(0.9, 200)}, assay.Inadequate, 0, "above the limit of 20 %."},
		{"harm in between", harm, Observations{Values: filled(0.19, 200)}, assay.Undecided, -1, "leaves the limit of 20 % open"},
		{"no harm at all", harm, Observations{Values: filled(math.NaN(), 200)}, assay.Undecided, 0, "observation 1 is NaN"},
		{"fast", slow, times(50), assay.Adequate, 0,
			"The 95th percentile of the response time was 47.5 s over 100 drills; with 95 % confidence the 95th percentile of the response time is at most 49.5 s, within the limit of 60 s."},
		{"slow", slow, times(100), assay.Inadequate, 0, "is at least 91 s, above the limit of 60 s."},
		{"neither", slow, times(61), assay.Undecided, -1, "is between 55.5 s and 60.4 s"},
	} {
		d := Decide(test.criterion, test.o, nil, nil)
		if d.Outcome != test.outcome || !strings.Contains(d.Reason, test.reason) {
			t.Errorf("%s: %s, %q; want %s, %q", test.name, d.Outcome, d.Reason, test.outcome, test.reason)
		}
		if test.needed >= 0 && d.Needed != test.needed || test.needed < 0 && d.Needed <= 0 {
			t.Errorf("%s: %d more are needed, want %d", test.name, d.Needed, test.needed)
		}
		if d.Estimate != nil && test.criterion.Sampling.Rule != Census {
			bears(t, test.criterion, d)
		}
	}
}

func filled(v float64, n int) []float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = v
	}
	return values
}

// TestNeeded: with as many more units as are said to be needed, and the same share, it is decided.
func TestNeeded(t *testing.T) {
	for _, k := range []int{0, 3, 10, 16, 19, 24, 28} {
		d := Decide(attack(0.05, Fixed, 400), outcomes(k, 400), nil, nil)
		if d.Outcome != assay.Undecided {
			if d.Needed != 0 {
				t.Errorf("%d of 400: decided, but %d more are needed", k, d.Needed)
			}
			continue
		}
		n := 400 + d.Needed
		if again := Decide(attack(0.05, Fixed, n), outcomes(scaled(k, 400, n), n), nil, nil); again.Outcome == assay.Undecided {
			t.Errorf("%d of 400: %d more do not decide: %s", k, d.Needed, again.Reason)
		}
	}
	d := Decide(attack(0.05, Sequential, 150), spread(4, 150), nil, nil)
	n := 150 + d.Needed
	if again := Decide(attack(0.05, Sequential, n), spread(4*n/150, n), nil, nil); d.Outcome != assay.Undecided || again.Outcome != assay.Adequate {
		t.Errorf("%d more do not decide: %s", d.Needed, again.Reason)
	}
}

// TestGate: a check that failed or is missing makes every outcome invalid.
func TestGate(t *testing.T) {
	c := attack(0.05, Fixed, 400)
	c.Checks = []string{"positive-control", "gradients-not-masked"}
	c.Costs = []Cost{{Metric: "false-alarm-rate", Relation: assay.AtMost, Limit: 0.5}}
	passed := []Check{{"positive-control", true, "the twin fell"}, {"gradients-not-masked", true, ""}}
	masked := []Check{passed[0], {"gradients-not-masked", false, "all gradients are 0."}}
	extra := []Check{passed[0], passed[1], {"known-answer", false, ""}}
	cheap := []CostObservations{{"false-alarm-rate", outcomes(0, 100)}}
	for _, test := range []struct {
		checks []Check
		reason string
	}{
		{nil, "the check positive-control was not made; the check gradients-not-masked was not made."},
		{passed[:1], "the check gradients-not-masked was not made."},
		{masked, "the check gradients-not-masked failed (all gradients are 0)."},
		{extra, "the check known-answer failed."},
	} {
		for _, o := range []Observations{outcomes(0, 400), outcomes(400, 400), outcomes(17, 400), {}, {Problem: "an error"}} {
			d := Decide(c, o, test.checks, cheap)
			if d.Outcome != assay.Invalid || !strings.HasSuffix(d.Reason, test.reason) || d.P != 1 || len(d.Valid) != len(test.checks) {
				t.Errorf("%s at p = %v: %q, want %q", d.Outcome, d.P, d.Reason, test.reason)
			}
		}
	}
	if d := Decide(c, outcomes(0, 400), passed, cheap); d.Outcome != assay.Adequate {
		t.Errorf("with its checks passed it is %s: %s", d.Outcome, d.Reason)
	}
	bad := c
	bad.Limit = math.NaN()
	if d := Decide(bad, outcomes(0, 400), passed, cheap); d.Outcome != assay.Invalid || !strings.Contains(d.Reason, "NaN") {
		t.Errorf("a criterion without a limit is %s: %s", d.Outcome, d.Reason)
	}
}

// TestCosts: adequate takes every cost to hold; one exceeded makes it inadequate, one open undecided.
func TestCosts(t *testing.T) {
	c := attack(0.05, Fixed, 400)
	c.Costs = []Cost{
		{Metric: "clean-accuracy-loss", Relation: assay.AtMost, Limit: 0.1},
		{Metric: "false-alarm-rate", Relation: assay.AtMost, Limit: 0.1, Confidence: 0.9},
		{Metric: "latency-p95", Relation: assay.AtMost, Limit: 0.5},
	}
	alarms := func(k int) CostObservations { return CostObservations{"false-alarm-rate", outcomes(k, 100)} }
	quick := CostObservations{"latency-p95", Observations{Values: filled(0.1, 60)}}
	lost := func(k int) CostObservations {
		o := outcomes(100-k, 100)
		o.Without = outcomes(100, 100).Outcomes
		return CostObservations{"clean-accuracy-loss", o}
	}
	few := CostObservations{"latency-p95", Observations{Values: filled(0.1, 58)}}
	for _, test := range []struct {
		name    string
		events  int
		costs   []CostObservations
		outcome assay.Outcome
		reason  string
	}{
		{"all hold", 5, []CostObservations{lost(0), alarms(2), quick}, assay.Adequate, "within the limit of 5 %."},
		{"accuracy lost", 5, []CostObservations{lost(40), alarms(2), quick}, assay.Inadequate, "at the cost clean-accuracy-loss it is inadequate: The loss was 40.0 percentage points over 100 untouched inputs; with 95 % confidence the loss is at least"},
		{"alarms", 5, []CostObservations{lost(0), alarms(30), quick}, assay.Inadequate, "at the cost false-alarm-rate it is inadequate: There was a false alarm on 30 of 100 harmless cases (30.0 %); with 90 % confidence"},
		{"alarms open", 5, []CostObservations{lost(0), alarms(9), quick}, assay.Undecided, "at the cost false-alarm-rate it is undecided"},
		{"one open, one exceeded", 5, []CostObservations{lost(40), alarms(9), quick}, assay.Inadequate, "clean-accuracy-loss"},
		{"not observed", 5, []CostObservations{lost(0), quick}, assay.Undecided, "the cost was not observed"},
		{"an error", 5, []CostObservations{{"clean-accuracy-loss", Observations{Problem: "the baseline is lacking"}}, alarms(0), quick}, assay.Undecided, "the baseline is lacking"},
		{"too few for a bound", 5, []CostObservations{lost(0), alarms(2), few}, assay.Undecided, "the 95th percentile of the latency is at least"},
		{"unequal pairs", 5, []CostObservations{{"clean-accuracy-loss", outcomes(1, 2)}, alarms(2), quick}, assay.Undecided, "2 units were observed with the solution and 0 without it"},
		{"the criterion itself", 100, []CostObservations{lost(0), alarms(2), quick}, assay.Inadequate, "above the limit of 5 %."},
	} {
		d := Decide(c, outcomes(test.events, 400), nil, test.costs)
		if d.Outcome != test.outcome || !strings.Contains(d.Reason, test.reason) {
			t.Errorf("%s: %s, %q; want %s, %q", test.name, d.Outcome, d.Reason, test.outcome, test.reason)
		}
		if len(d.Costs) != 3 || d.Costs[1].Confidence != 0.9 || d.Costs[0].Confidence != 0.95 {
			t.Errorf("%s: the costs are %+v", test.name, d.Costs)
		}
	}
}

// TestChance: the p-value of a fixed plan is the exact tail of the binomial distribution at the limit.
func TestChance(t *testing.T) {
	for _, k := range []int{0, 5, 10, 12, 40, 60} {
		d := Decide(attack(0.05, Fixed, 400), outcomes(k, 400), nil, nil)
		tail := 0.0
		for i := 0; i <= 400; i++ {
			if d.Outcome == assay.Adequate && i <= k || d.Outcome == assay.Inadequate && i >= k {
				tail += mass(i, 400, 0.05)
			}
		}
		if tail > 1e-12 && math.Abs(d.P-tail) > 1e-4*tail {
			t.Errorf("%d of 400: p is %v, the tail %v", k, d.P, tail)
		}
	}
}
