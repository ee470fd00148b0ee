package builtin

import (
	"context"
	"encoding/json"

	"assay/internal/assess"
	"assay/internal/assess/robustness"
	"assay/internal/criteria"
	"assay/internal/method/substitution"
	"assay/internal/report"
	"assay/internal/system"
)

// evasionTester tests evasion by what the attacker's changes are measured in: texts in words, all else in numbers.
type evasionTester struct {
	rows  *robustness.Tester
	texts *robustness.Texts
}

var (
	_ assess.Tester    = evasionTester{}
	_ assess.Explainer = evasionTester{}
)

func newEvasionTester(s *system.System, library string) evasionTester {
	return evasionTester{robustness.New(s, library), robustness.NewTexts(s, library)}
}

func (e evasionTester) close() {
	e.rows.Close()
	e.texts.Close()
}

func (e evasionTester) of(t *assess.Test) assess.Tester {
	if t.Attacker.Norm == string(substitution.Words) {
		return e.texts
	}
	return e.rows
}

func (e evasionTester) Outline(ctx context.Context, t *assess.Test) (*assess.Outline, error) {
	return e.of(t).Outline(ctx, t)
}

func (e evasionTester) Observe(ctx context.Context, t *assess.Test, units []int) ([]assess.Observation, error) {
	return e.of(t).Observe(ctx, t, units)
}

func (e evasionTester) Controls(t *assess.Test) []string { return e.of(t).Controls(t) }

func (e evasionTester) Control(ctx context.Context, t *assess.Test, name string, order []int) (json.RawMessage, error) {
	return e.of(t).Control(ctx, t, name, order)
}

func (e evasionTester) Checks(t *assess.Test, observed []assess.Observation, controls map[string]json.RawMessage) ([]criteria.Check, error) {
	return e.of(t).Checks(t, observed, controls)
}

func (e evasionTester) Clean(ctx context.Context, t *assess.Test, units []int) ([]bool, error) {
	return e.of(t).Clean(ctx, t, units)
}

func (e evasionTester) Present(ctx context.Context, t *assess.Test, observed []assess.Observation, controls map[string]json.RawMessage) (*report.Test, error) {
	return e.of(t).Present(ctx, t, observed, controls)
}

func (e evasionTester) Explain(t *assess.Test, c criteria.Criterion, observed []assess.Observation, controls map[string]json.RawMessage) (string, error) {
	if x, ok := e.of(t).(assess.Explainer); ok {
		return x.Explain(t, c, observed, controls)
	}
	return "", nil
}
