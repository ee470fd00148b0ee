package poisoning

import (
	"testing"

	"assay/internal/certificate"
	"assay/internal/solution/dpa"
)

// TestBribeIsTheCertificate goes through all votes of seven on three classes: as many votes as are certified change nothing, one more does.
func TestBribeIsTheCertificate(t *testing.T) {
	seen := 0
	for a := range 8 {
		for b := range 8 - a {
			votes := []int{a, b, 7 - a - b}
			_, budget := dpa.Robustness(votes)
			if seen++; bribe(votes, budget) || !bribe(votes, budget+1) {
				t.Errorf("votes %v, certified against %d: %v, and of one more %v", votes, budget, bribe(votes, budget), bribe(votes, budget+1))
			}
		}
	}
	if seen != 36 {
		t.Errorf("%d votes", seen)
	}
}

// TestVoteControlCanFail: certificates that claim too much or too little, nothing poisoned, and networks that are all one are not valid.
func TestVoteControlCanFail(t *testing.T) {
	for what, c := range map[string]struct {
		votes              [][]int
		budgets            []int
		budget             int
		positive, negative bool
	}{
		"as it must be":         {[][]int{{5, 2, 0}, {3, 4, 0}, {7, 0, 0}}, []int{1, 0, 3}, 1, true, true},
		"claims too much":       {[][]int{{5, 2, 0}, {3, 4, 0}}, []int{1, 1}, 1, true, false},
		"claims too little":     {[][]int{{5, 2, 0}, {7, 0, 0}}, []int{1, 0}, 1, false, true},
		"nothing poisoned":      {[][]int{{5, 2, 0}, {3, 4, 0}}, []int{1, 0}, 0, false, true},
		"networks that are one": {[][]int{{7, 0, 0}, {0, 7, 0}}, []int{3, 2}, 1, false, true},
		"no records":            {nil, nil, 1, false, false},
	} {
		v := &vote{division: dpa.Division{Partitions: 7, Spread: 1, Records: 100}, budget: c.budget, votes: c.votes}
		for _, b := range c.budgets {
			v.certificates = append(v.certificates, certificate.Certificate{Budget: b})
		}
		made, err := v.control(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		checks := made.(*canvass).checks()
		if passes(checks, "positive-control") != c.positive || passes(checks, "negative-control") != c.negative {
			t.Errorf("%s: %+v", what, checks)
		}
	}
}
