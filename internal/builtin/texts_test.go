package builtin_test

import (
	"strings"
	"testing"

	"assay/internal/builtin"
)

func TestTextMethodsAreWhatTheyAreCalled(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range builtin.TextMethods() {
		made, err := builtin.FindText(m.Name, builtin.Settings{}, nil)
		if err != nil || len(made) == 0 {
			t.Fatal(m.Name, err)
		}
		for _, part := range made {
			d := part.Describe()
			if d.Reference == "" || m.Summary == "" || len(made) == 1 && d.Name != m.Name || len(made) > 1 && !seen[d.Name] {
				t.Errorf("%q describes itself as %+v", m.Name, d)
			}
			for _, s := range d.Settings {
				if !(s.Value > 0) {
					t.Errorf("%s: the usual %s is %v", m.Name, s.Name, s.Value)
				}
			}
		}
		seen[m.Name] = true
	}
	if len(seen) < 6 {
		t.Errorf("%d methods", len(seen))
	}
	for want, find := range map[string]func() error{
		`no method "pgd" for texts: use one of word-noise`: func() error { _, err := builtin.FindText("pgd", builtin.Settings{}, nil); return err },
		"pwws has no queries to be set": func() error {
			_, err := builtin.FindText("pwws", builtin.Settings{Queries: 3}, []string{"queries"})
			return err
		},
		"-3 queries": func() error {
			_, err := builtin.FindText("beam", builtin.Settings{Queries: -3}, []string{"queries"})
			return err
		},
	} {
		if err := find(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
