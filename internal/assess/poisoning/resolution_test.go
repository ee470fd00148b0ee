package poisoning

import "testing"

// TestRelapsesCanFail: a twin that does not show the success, in one of two families, and a trigger that needs no poison are not valid.
func TestRelapsesCanFail(t *testing.T) {
	good := tried{Family: "badnets", Before: 90, After: 2, Never: 3, Of: 100}
	for what, c := range map[string]struct {
		tried              []tried
		positive, negative bool
	}{
		"as it must be":      {[]tried{good, good}, true, true},
		"nothing tried":      {nil, false, false},
		"no records":         {[]tried{{Family: "badnets"}}, false, false},
		"one half, by luck":  {[]tried{{Family: "badnets", Before: 52, Of: 100}}, false, true},
		"one family asleep":  {[]tried{good, {Family: "blended", Before: 10, Of: 100}}, false, true},
		"one planting less":  {[]tried{good, {Family: "badnets", Before: 60, Of: 100}}, true, true},
		"does it by itself":  {[]tried{{Family: "blended", Before: 95, Never: 40, Of: 100}}, true, false},
		"one does by itself": {[]tried{good, {Family: "blended", Before: 95, Never: 40, Of: 100}}, true, false},
	} {
		checks := relapses{c.tried}.checks()
		if passes(checks, "positive-control") != c.positive || passes(checks, "negative-control") != c.negative {
			t.Errorf("%s: %+v", what, checks)
		}
	}
}
