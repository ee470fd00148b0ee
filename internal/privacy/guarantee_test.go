package privacy

import (
	"strings"
	"testing"
)

func TestGuarantee(t *testing.T) {
	g, err := Prove(Mechanism{0.05, 1.2, 200}, 1, 1e-5)
	if err != nil {
		t.Fatal(err)
	}
	text, err := g.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"epsilon", "delta", "sample-rate", "noise-multiplier", "steps", "clip", "assumption"} {
		if !strings.Contains(text, `"`+key+`":`) {
			t.Errorf("%s is not in %s", key, text)
		}
	}
	back, err := Decode(text)
	if err != nil || *back != *g {
		t.Errorf("%+v became %+v (%v)", g, back, err)
	}
	claimed := *g
	claimed.Epsilon *= 0.9
	text, _ = claimed.Encode()
	if _, err := Decode(text); err == nil || !strings.Contains(err.Error(), "prove") {
		t.Errorf("a claim that its settings do not prove was taken: %v", err)
	}
	for _, bad := range []string{"", "{}", "[]", `{"epsilon":1,"delta":1e-5,"sample-rate":2}`, strings.Repeat(" ", 1<<17)} {
		if _, err := Decode(bad); err == nil {
			t.Errorf("%.20q was taken", bad)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(`{"epsilon":3,"delta":1e-5,"sample-rate":0.1,"noise-multiplier":1.2,"steps":10,"clip":1}`)
	f.Add(`{"epsilon":1e308,"delta":0.5,"sample-rate":1e-9,"noise-multiplier":0.2,"steps":1000000000}`)
	f.Fuzz(func(t *testing.T, text string) {
		g, err := Decode(text)
		if err == nil && g.validate() != nil {
			t.Errorf("%+v was taken", g)
		}
	})
}
