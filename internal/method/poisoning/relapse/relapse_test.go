package relapse_test

import (
	"context"
	"testing"

	"assay/internal/dataset"
	"assay/internal/method/poisoning/plant"
	"assay/internal/method/poisoning/relapse"
	"assay/internal/solution/repair"
	"assay/onnx"
)

// nothing is a repair that changes nothing: whoever attacks again must find it out.
type nothing struct{}

func (nothing) Describe() repair.Description {
	return repair.Description{Name: "nothing", Records: repair.Trusted}
}

func (nothing) Repair(_ context.Context, m *onnx.Model, _ *dataset.Dataset, _ repair.Options) (*repair.Repaired, error) {
	return &repair.Repaired{Model: m}, nil
}

// A backdoor of 95 % is brought under 5 % at less than 2 points of accuracy, both by exact bounds, by removal and by
// relabelling; a repair that does nothing is found out, and training on trusted records leaves something to reactivate.
func TestRepairs(t *testing.T) {
	s := digits(t, 1)
	backdoored(t, s, plant.BadNets{})
	fresh := []plant.Planter{plant.Blended{}}
	q := s.quarantine()
	for _, by := range []repair.Repair{repair.Removal{Quarantine: q, Train: s.options}, repair.Relabelling{Quarantine: q, Train: s.options}} {
		r := s.try(t, by, nil)
		t.Log(line(by.Describe().Name, r))
		if r.Same.Before.Rate < 0.95 || r.Same.After.Upper > 0.05 || r.Clean.LostUpper > 0.02 || r.Clean.Lower > r.Clean.After {
			t.Errorf("%s: %+v", by.Describe().Name, r)
		}
	}
	none := s.try(t, nothing{}, fresh)
	t.Log(line("nothing", none))
	if none.Same.After != none.Same.Before || none.Clean.After != none.Clean.Before || len(none.Fresh) != 1 || none.Fresh[0].After.Lower < 0.9 ||
		none.Reactivated.Success.Lower < none.Reactivated.Twin.Upper {
		t.Errorf("a repair that does nothing gives %+v", none)
	}
	tuned := s.try(t, repair.FineTuning{}, fresh)
	t.Log(line("fine-tuning", tuned))
	if tuned.Same.After.Upper > 0.5 || tuned.Reactivated.Success.Lower < tuned.Reactivated.Twin.Upper {
		t.Errorf("fine-tuning gives %+v", tuned)
	}
}

func TestRefused(t *testing.T) {
	s := digits(t, 1)
	s.options.Epochs = 1
	backdoored(t, s, plant.BadNets{})
	clean, err := plant.RandomFlips{}.Plant(t.Context(), s.training, plant.Options{Rate: 0.1})
	if err != nil {
		t.Fatal(err)
	}
	for name, trial := range map[string]relapse.Trial{
		"no trigger": {Backdoor: clean, Test: s.test},
		"no test":    {Backdoor: s.planted},
		"too many":   {Backdoor: s.planted, Test: s.test, Training: s.training, Records: 1e6},
		"too few":    {Backdoor: s.planted, Test: s.test, Records: -1},
	} {
		trial.Before, trial.After = s.model, s.model
		if _, err := relapse.Run(t.Context(), trial); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := relapse.Run(ctx, relapse.Trial{Before: s.model, After: s.model, Backdoor: s.planted, Test: s.test}); err == nil {
		t.Error("it goes on after it was cancelled")
	}
}
