package builtin_test

import (
	"slices"
	"strings"
	"testing"

	"assay/internal/builtin"
	"assay/internal/method"
	"assay/internal/model"
)

func TestMethodsAreWhatTheyAreCalled(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range builtin.Methods() {
		made, err := builtin.Find(m.Name, builtin.Settings{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range made {
			d := part.Describe()
			if d.Reference == "" || m.Summary == "" || seen[m.Name] || len(made) == 1 && d.Name != m.Name {
				t.Errorf("%q describes itself as %+v", m.Name, d)
			}
			if len(made) > 1 && !seen[d.Name] {
				t.Errorf("%s has the part %s, which cannot be run alone", m.Name, d.Name)
			}
			for _, s := range d.Settings {
				if !(s.Value > 0) {
					t.Errorf("%s: the usual %s is %v", m.Name, s.Name, s.Value)
				}
			}
		}
		seen[m.Name] = true
	}
	if len(seen) < 10 {
		t.Errorf("%d methods", len(seen))
	}
}

func TestFindRefuses(t *testing.T) {
	for _, c := range []struct {
		name     string
		settings builtin.Settings
		given    []string
		want     string
	}{
		{"lion", builtin.Settings{}, nil, "use one of noise, hopskipjump"},
		{"fgsm", builtin.Settings{Steps: 3}, []string{"steps"}, "fgsm has no steps to be set: it has no settings"},
		{"square", builtin.Settings{Steps: 3}, []string{"steps"}, "it takes queries"},
		{"autoattack", builtin.Settings{Steps: 3}, []string{"steps"}, "autoattack has no steps to be set: it has no settings"},
		{"pgd", builtin.Settings{Steps: -1}, []string{"steps"}, "-1 steps: give from 1"},
		{"pgd", builtin.Settings{Step: 3}, []string{"step-size"}, "a step size of 3"},
		{"pgd", builtin.Settings{Loss: "hinge"}, []string{"loss"}, `there is no loss "hinge"`},
		{"pgd", builtin.Settings{Loss: model.TargetedDLR}, []string{"loss"}, "there is no loss"},
	} {
		if _, err := builtin.Find(c.name, c.settings, c.given); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestPGDByItsLoss(t *testing.T) {
	pgd, err := builtin.Find("pgd", builtin.Settings{Loss: model.Margin, Steps: 10}, []string{"loss", "steps"})
	if err != nil {
		t.Fatal(err)
	}
	d := pgd[0].Describe()
	at := slices.IndexFunc(d.Settings, func(s method.Setting) bool { return s.Name == "step" })
	if d.Name != "pgd-margin" || at < 0 || d.Settings[at].Value != 0.25 {
		t.Errorf("%+v", d)
	}
}
