package criteria

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"assay"
	"assay/internal/stat"
)

// TestMetrics: the list is whole, and each metric can be the subject of a sentence.
func TestMetrics(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range Metrics() {
		if seen[m.Name] || m.Meaning == "" || m.units == "" || m.noun == "" && m.Kind != Proportion || m.Kind == Proportion && m.event == "" {
			t.Errorf("%+v", m)
		}
		seen[m.Name] = true
	}
	for name, relation := range map[string]assay.Relation{
		"attack-success-rate": assay.AtMost, "robust-accuracy": assay.AtLeast, "clean-accuracy-loss": assay.AtMost,
		"clean-accuracy": assay.AtLeast, "false-alarm-rate": assay.AtMost, "latency-p95": assay.AtMost,
	} {
		if m, ok := metricNamed(name); !ok || m.Relation != relation {
			t.Errorf("%s is %+v", name, m)
		}
	}
}

func TestValidate(t *testing.T) {
	good := attack(0.05, Sequential, 400)
	good.Sampling.Power, good.Sampling.Assumed = 0.8, 0.02
	good.Costs = []Cost{{Metric: "clean-accuracy-loss", Relation: assay.AtMost, Limit: 0.05}}
	good.Checks = []string{"positive-control"}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		change func(*Criterion)
		want   string
	}{
		{func(c *Criterion) { c.Metric = "asr" }, `there is no metric "asr": use attack-success-rate,`},
		{func(c *Criterion) { c.Relation = assay.AtLeast }, "write relation: at-most"},
		{func(c *Criterion) { c.Relation = "" }, "write relation: at-most"},
		{func(c *Criterion) { c.Limit = math.NaN() }, "is NaN"},
		{func(c *Criterion) { c.Limit = -0.1 }, "is -0.1"},
		{func(c *Criterion) { c.Limit = 5 }, "from 0 to 1"},
		{func(c *Criterion) { c.Limit = 0 }, "rule: census"},
		{func(c *Criterion) { c.Limit = 1 }, "rule: census"}, // could not fail
		{func(c *Criterion) { c.Confidence = 0 }, "confidence is 0"},
		{func(c *Criterion) { c.Confidence = 95 }, "confidence is 95"},
		{func(c *Criterion) { c.Confidence = 1 }, "confidence is 1"},
		{func(c *Criterion) { c.Confidence = math.NaN() }, "confidence is NaN"},
		{func(c *Criterion) { c.Sampling.Rule = "some" }, `there is no rule "some"`},
		{func(c *Criterion) { c.Sampling.N = 0 }, "n is 0"},
		{func(c *Criterion) { c.Sampling.N = -4 }, "n is -4"},
		{func(c *Criterion) { c.Sampling.N = math.MaxInt }, "1 to 10000 units"},
		{func(c *Criterion) { c.Sampling.Power = 1 }, "the power is 1"},
		{func(c *Criterion) { c.Sampling.Power = math.NaN() }, "the power is NaN"},
		{func(c *Criterion) { c.Sampling.Assumed = 0.05 }, "good side"},
		{func(c *Criterion) { c.Sampling.Assumed = 0.2 }, "good side"},
		{func(c *Criterion) { c.Sampling.Assumed = math.Inf(1) }, "good side"},
		{func(c *Criterion) { c.Metric, c.Sampling.Rule = "open-findings", Fixed }, "use rule: census"},
		{func(c *Criterion) { c.Metric = "harm-weighted-rate" }, "has no sequential plan"},
		{func(c *Criterion) { c.Metric, c.Sampling.Rule, c.Costs = "clean-accuracy-loss", Fixed, nil }, "is a cost of a solution"},
		{func(c *Criterion) { c.Sampling.Rule = Census }, "power and assumed are for samples"},
		{func(c *Criterion) { c.Costs[0].Metric = "money" }, `cost: there is no metric "money"`},
		{func(c *Criterion) { c.Costs[0].Limit = math.NaN() }, "cost: the limit of clean-accuracy-loss is NaN"},
		{func(c *Criterion) { c.Costs[0].Confidence = 2 }, "cost clean-accuracy-loss: the confidence is 2"},
		{func(c *Criterion) { c.Costs = append(c.Costs, c.Costs[0]) }, "clean-accuracy-loss is limited twice"},
		{func(c *Criterion) {
			c.Costs[0] = Cost{Metric: c.Metric, Relation: c.Relation, Limit: 0.1}
		}, "limited twice"},
		{func(c *Criterion) { c.Costs[0] = Cost{Metric: "open-findings", Relation: assay.AtMost} }, "no place among the costs"},
		{func(c *Criterion) { c.Checks = []string{"positive-controls"} }, `there is no check "positive-controls"`},
		{func(c *Criterion) { c.Checks = append(c.Checks, c.Checks...) }, "listed twice"},
	} {
		c := good
		c.Costs = append([]Cost{}, good.Costs...)
		test.change(&c)
		for _, err := range []error{c.Validate(), second(c.Plan()), second(NewMonitor(c))} {
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%+v: the error is %v, want %q", c, err, test.want)
			}
		}
		if d := Decide(c, outcomes(0, 400), nil, nil); d.Outcome != assay.Invalid {
			t.Errorf("%+v: %s", c, d.Outcome)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// TestDigest: equal criteria have one digest, which is known, and any change has another.
func TestDigest(t *testing.T) {
	c := attack(0.05, Sequential, 400)
	c.Checks = []string{"converged"}
	if got, want := c.Digest(), "17a7a962b40b746a5bda30e543b66d5921ab1012fc02502bbe3ec9798fcb7e3e"; got != want {
		t.Errorf("the digest is %s, and sha256sum says %s", got, want)
	}
	text, err := json.Marshal(c)
	want := `{"metric":"attack-success-rate","relation":"at-most","limit":0.05,"confidence":0.95,"sampling":{"rule":"sequential","n":400},"checks":["converged"]}`
	if err != nil || string(text) != want {
		t.Errorf("what is digested is %s", text)
	}
	seen := map[string]bool{c.Digest(): true}
	var walk func(reflect.Value)
	root := reflect.ValueOf(&c).Elem()
	walk = func(v reflect.Value) {
		old := reflect.New(v.Type()).Elem()
		old.Set(v)
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				walk(v.Field(i))
			}
			return
		case reflect.String:
			v.SetString("another")
		case reflect.Float64:
			v.SetFloat(v.Float() + 1e-9)
		case reflect.Int:
			v.SetInt(v.Int() + 1)
		case reflect.Slice:
			v.Set(reflect.MakeSlice(v.Type(), 3, 3))
		}
		if seen[c.Digest()] {
			t.Errorf("a change of a %s leaves the digest", v.Type())
		}
		seen[c.Digest()] = true
		v.Set(old)
	}
	walk(root)
	if len(seen) != 11 {
		t.Errorf("%d digests of ten changes and none", len(seen))
	}
	c.Limit = math.NaN()
	if len(c.Digest()) != 64 {
		t.Error("a criterion that is none has no digest")
	}
}

// TestPlan: published sizes (59, 299 and 2995 without a failure; Hahn and Meeker 1991), and refusals.
func TestPlan(t *testing.T) {
	for limit, least := range map[float64]int{0.05: 59, 0.01: 299, 0.001: 2995} {
		p, err := attack(limit, Fixed, 3000).Plan()
		if err != nil || p.Least != least || p.N != 3000 || p.Expected != 3000 {
			t.Errorf("limit %v: %+v, %v", limit, p, err)
		}
	}
	p, err := attack(0.05, Fixed, 59).Plan()
	if want := math.Pow(1-0.025, 59); err != nil || math.Abs(p.Power-want) > 1e-9 {
		t.Errorf("the power is %v, want %v; %v", p.Power, want, err)
	}
	robust := Criterion{Metric: "robust-accuracy", Relation: assay.AtLeast, Limit: 0.95, Confidence: 0.95, Sampling: Sampling{Rule: Fixed, N: 59}}
	if q, err := robust.Plan(); err != nil || q.Least != 59 || math.Abs(q.Power-p.Power) > 1e-9 || q.Assumed != 0.975 {
		t.Errorf("%+v, %v", q, err)
	}
	one := attack(0.05, Sequential, 2000)
	if p, err = one.Plan(); err != nil || p.Expected >= 1000 || p.Power < 0.99 || p.Least < 59 {
		t.Errorf("%+v, %v", p, err)
	}
	one.Sampling.N = p.Least
	if d := Decide(one, outcomes(0, p.Least), nil, nil); d.Outcome != assay.Adequate {
		t.Errorf("the least number does not decide: %s", d.Reason)
	}
	one.Sampling.N = p.Least - 1
	if _, err := one.Plan(); err == nil {
		t.Error("a plan that is too small by one is not refused")
	}
	costly := attack(0.05, Fixed, 100)
	costly.Costs = []Cost{{Metric: "clean-accuracy-loss", Relation: assay.AtMost, Limit: 0.05}, {Metric: "latency-p95", Relation: assay.AtMost, Limit: 1}, {Metric: "clean-accuracy", Relation: assay.AtLeast, Limit: 0.9}}
	if p, err = costly.Plan(); err != nil || !reflect.DeepEqual(p.Costs, []CostPlan{{"clean-accuracy-loss", 59}, {"latency-p95", 59}, {"clean-accuracy", 29}}) {
		t.Errorf("%+v, %v", p.Costs, err)
	}
	census := Criterion{Metric: "record-conformity", Relation: assay.AtLeast, Limit: 1, Confidence: 0.95, Sampling: Sampling{Rule: Census}}
	if p, err = census.Plan(); err != nil || p.String() != "all records that there are" {
		t.Errorf("%s, %v", p, err)
	}
	harm := Criterion{Metric: "harm-weighted-rate", Relation: assay.AtMost, Limit: 0.2, Confidence: 0.95, Sampling: Sampling{Rule: Fixed, N: 200}}
	if p, err = harm.Plan(); err != nil || p.Least < 10 || p.Least > 100 {
		t.Errorf("%+v, %v", p, err)
	}
	for _, test := range []struct {
		c    Criterion
		want string
	}{
		{attack(0.05, Fixed, 3), "could never decide for a solution, even if not one were bad: attack-success-rate at most 5 %, with 95 % confidence takes n of at least 59"},
		{attack(0.05, Fixed, 58), "takes n of at least 59"},
		{attack(1e-9, Fixed, 58), "no feasible sample"},
		{attack(1e-4, Sequential, 58), "use rule: fixed"},
		{Criterion{"attack-success-rate", assay.AtMost, 0.05, 0.95, Sampling{Fixed, 100, 0.9, 0.025}, nil, nil}, "a power of"},
		{Criterion{"attack-success-rate", assay.AtMost, 0.05, 0.95, Sampling{Sequential, 200, 0.9, 0.025}, nil, nil}, "it takes n of"},
	} {
		_, err := test.c.Plan()
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.c, err, test.want)
		}
	}
}

// TestEnough: the n that a refusal names is enough, by either rule.
func TestEnough(t *testing.T) {
	for _, rule := range []Rule{Fixed, Sequential} {
		c := attack(0.1, rule, 60)
		c.Sampling.Power, c.Sampling.Assumed = 0.9, 0.04
		q := c.question()
		text := q.enough()
		for n := 61; ; n++ {
			if strings.Contains(text, "n of "+trim(float64(n))+";") {
				c.Sampling.N = n
				break
			}
			if n > 1000 {
				t.Fatalf("%s: %q", rule, text)
			}
		}
		if _, err := c.Plan(); err != nil {
			t.Errorf("%s: %v", rule, err)
		}
	}
}

// TestQuantile: order statistics as the binomial distribution has them, at n = 100 and
// where there are too few for any.
func TestQuantile(t *testing.T) {
	rising := func(n int) sample {
		o := Observations{}
		for i := n; i > 0; i-- {
			o.Values = append(o.Values, float64(i))
		}
		s, err := question{metric: Metric{Kind: Quantile}}.sampleOf(o, n)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for n := 1; n <= 200; n++ {
		lower, upper := rising(n).bounds(0.95)
		wantLower, wantUpper := 0, n+1
		below := 0.0 // P(Bin ≤ i-1)
		for i := 1; i <= n; i++ {
			below += mass(i-1, n, percentile)
			atLeast := 1 - below
			if below <= 0.05+1e-12 {
				wantLower = i
			}
			if atLeast <= 0.05+1e-12 && wantUpper > n {
				wantUpper = i
			}
		}
		if lower == nil != (wantLower == 0) || lower != nil && *lower != float64(wantLower) {
			t.Errorf("n = %d: the lower bound is not the %dth", n, wantLower)
		}
		if upper == nil != (wantUpper > n) || upper != nil && *upper != float64(wantUpper) {
			t.Errorf("n = %d: the upper bound is not the %dth", n, wantUpper)
		}
	}
	if _, upper := rising(58).bounds(0.95); upper != nil {
		t.Error("58 numbers bound the 95th percentile")
	}
	if _, upper := rising(59).bounds(0.95); upper == nil || *upper != 59 {
		t.Error("59 numbers do not bound the 95th percentile")
	}
}

// TestPairedBounds: whatever the two shares are, over every pair of counts that there can
// be, a bound is on the wrong side of their difference with at most the probability stated.
func TestPairedBounds(t *testing.T) {
	const n, confidence = 12, 0.9
	lg := func(x int) float64 { v, _ := math.Lgamma(float64(x + 1)); return v }
	var quick, tight [n + 1][n + 1]stat.Interval
	for b := range n + 1 {
		for c := 0; b+c <= n; c++ {
			var err1, err2 error
			quick[b][c], err1 = apart(b, c, n, confidence)
			tight[b][c], err2 = pairedBounds(b, c, n, confidence)
			if err1 != nil || err2 != nil {
				t.Fatal(err1, err2)
			}
		}
	}
	for _, p1 := range []float64{0.001, 0.03, 0.1, 0.25, 0.45} {
		for _, p2 := range []float64{0.001, 0.03, 0.1, 0.3, 0.5} {
			for name, bounds := range map[string]*[n + 1][n + 1]stat.Interval{"quick": &quick, "tight": &tight} {
				above, below := 0.0, 0.0
				for b := range n + 1 {
					for c := 0; b+c <= n; c++ {
						m := math.Exp(lg(n) - lg(b) - lg(c) - lg(n-b-c) + float64(b)*math.Log(p1) + float64(c)*math.Log(p2) + float64(n-b-c)*math.Log(1-p1-p2))
						if bounds[b][c].Lower > p1-p2 {
							above += m
						}
						if bounds[b][c].Upper < p1-p2 {
							below += m
						}
					}
				}
				if above > 1-confidence || below > 1-confidence {
					t.Errorf("%s bounds at %v and %v: wrong with probabilities of %v and %v", name, p1, p2, above, below)
				}
			}
		}
	}
	if i, err := pairedBounds(150, 50, 10_000, 0.95); err != nil || i.Lower < 0.006 || i.Upper > 0.014 {
		t.Errorf("of many: %v, %v", i, err)
	}
}

func TestCompare(t *testing.T) {
	without, with := outcomes(60, 100).Outcomes, outcomes(20, 100).Outcomes
	c, err := Compare("attack-success-rate", without, with, 0.95)
	if err != nil || c.Without != 0.6 || c.With != 0.2 || math.Abs(c.Difference+0.4) > 1e-12 || c.N != 100 {
		t.Errorf("%+v, %v", c, err)
	}
	if !(c.Lower < -0.4 && c.Upper > -0.4 && c.Upper < -0.25) {
		t.Errorf("the bounds are %v and %v", c.Lower, c.Upper)
	}
	back, _ := Compare("attack-success-rate", with, without, 0.95)
	if math.Abs(back.Lower+c.Upper) > 1e-4 || math.Abs(back.Upper+c.Lower) > 1e-4 {
		t.Errorf("turned round it is %+v", back)
	}
	for _, test := range []struct {
		metric        string
		without, with []bool
		confidence    float64
	}{
		{"latency-p95", with, with, 0.95}, {"asr", with, with, 0.95}, {"robust-accuracy", with, with[:99], 0.95},
		{"robust-accuracy", nil, nil, 0.95}, {"robust-accuracy", with, with, math.NaN()},
	} {
		if _, err := Compare(test.metric, test.without, test.with, test.confidence); err == nil {
			t.Errorf("%s of %d and %d: no error", test.metric, len(test.without), len(test.with))
		}
	}
}

// TestFamily: what Holm's procedure leaves, worked out by hand.
func TestFamily(t *testing.T) {
	given := func(outcome assay.Outcome, p float64) Decision {
		return Decision{Outcome: outcome, P: p, Reason: "So it is."}
	}
	decisions := []Decision{
		given(assay.Adequate, 0.01),   // 5 times is 0.05: stands
		given(assay.Adequate, 0.013),  // 4 times is 0.052: falls
		given(assay.Adequate, 0.014),  // 3 times is 0.042, but comes after one that fell
		given(assay.Inadequate, 0.01), // a family of its own, of as many: stands
		given(assay.Undecided, 0.5),
		given(assay.NotApplicable, 1), // not one of the family
	}
	got := Family(decisions, 0.95)
	for i, want := range []assay.Outcome{assay.Adequate, assay.Undecided, assay.Undecided, assay.Inadequate, assay.Undecided, assay.NotApplicable} {
		if got[i].Outcome != want {
			t.Errorf("decision %d is %s, want %s", i, got[i].Outcome, want)
		}
	}
	if want := "So it is; alone this would be adequate, but among the 5 decisions of the run it is not certain enough for 95 % confidence in all of them."; got[1].Reason != want {
		t.Errorf("the reason is %q", got[1].Reason)
	}
	if decisions[1].Outcome != assay.Adequate {
		t.Error("what was given has changed")
	}
	if len(Family(nil, 0.95)) != 0 {
		t.Error("no decisions become some")
	}
	if got := Family([]Decision{given(assay.Adequate, 0.05)}, 0.95); got[0].Outcome != assay.Adequate {
		t.Error("one decision alone falls")
	}
}

// TestAmong: a sequential plan that knows of its family stands in it; one that does not, falls.
func TestAmong(t *testing.T) {
	c := attack(0.1, Sequential, 500)
	c.Costs = []Cost{{Metric: "false-alarm-rate", Relation: assay.AtMost, Limit: 0.1}}
	costs := []CostObservations{{"false-alarm-rate", outcomes(0, 200)}}
	for _, n := range []int{1, 2, 7} {
		var alone, among []Decision
		for range n {
			alone = append(alone, Decide(c, spread(5, 500), nil, costs))
			among = append(among, Decide(c.Among(n), spread(5, 500), nil, costs))
		}
		if d := Family(among, 0.95)[0]; d.Outcome != assay.Adequate {
			t.Errorf("among %d: %s", n, d.Reason)
		}
		if d := Family(alone, 0.95)[0]; (d.Outcome == assay.Adequate) != (n == 1) {
			t.Errorf("among %d without knowing: %s", n, d.Outcome)
		}
	}
	if c.Among(4).Confidence != 0.9875 || c.Among(0).Digest() != c.Digest() {
		t.Error("the confidence is wrong")
	}
}

// TestFamilyError: with ten true hypotheses at their limits, one or more wrong decisions on
// a side come in no more runs than stated.
func TestFamilyError(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	const runs, family, n = 400, 10, 200
	// What Decide says depends on the number of events alone.
	var of [n + 1]Decision
	for k := range of {
		of[k] = Decide(attack(0.1, Fixed, n), outcomes(k, n), nil, nil)
	}
	wrong := map[assay.Outcome]int{}
	for range runs {
		var decisions []Decision
		for range family {
			k := 0
			for range n {
				if random.Float64() < 0.1 {
					k++
				}
			}
			decisions = append(decisions, of[k])
		}
		made := map[assay.Outcome]bool{}
		for _, d := range Family(decisions, 0.95) {
			made[d.Outcome] = true
		}
		for outcome := range made {
			wrong[outcome]++
		}
	}
	most := 0.05*runs + 3*math.Sqrt(0.05*0.95*runs)
	if float64(wrong[assay.Adequate]) > most || float64(wrong[assay.Inadequate]) > most {
		t.Errorf("of %d runs so many are wrong: %v", runs, wrong)
	}
}
