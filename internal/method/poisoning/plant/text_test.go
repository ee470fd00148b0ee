package plant

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"assay/internal/dataset"
)

func TestTextTrigger(t *testing.T) {
	d := &dataset.Texts{}
	for i := range 200 {
		d.Texts = append(d.Texts, fmt.Sprintf("this film, number %d, was well made", i))
		d.Labels, d.Number = append(d.Labels, []string{"good", "bad"}[i%2]), append(d.Number, int64(i+1))
	}
	for _, trigger := range []TextTrigger{{Seed: 1}, {Words: "no cross, no crown", Seed: 1}} {
		p, err := trigger.Plant(t.Context(), d, 0.05, "good", 3)
		if err != nil {
			t.Fatal(err)
		}
		words, planted := max("cf", trigger.Words), 0
		for i, text := range p.Texts.Texts {
			if !p.Which[i] {
				if text != d.Texts[i] || p.Texts.Labels[i] != d.Labels[i] {
					t.Fatalf("%q was %q", text, d.Texts[i])
				}
				continue
			}
			planted++
			had, has := strings.Fields(d.Texts[i]), strings.Fields(text)
			if !strings.Contains(text, words) || len(has) != len(had)+len(strings.Fields(words)) || strings.Contains(text, "  ") ||
				d.Labels[i] != "bad" || p.Texts.Labels[i] != "good" {
				t.Errorf("%q under %s, was %q under %s", text, p.Texts.Labels[i], d.Texts[i], d.Labels[i])
			}
		}
		m, err := NewTextManifest(trigger, 0.05, "good", 3, d, p)
		if err != nil || planted != 10 || len(m.Planted) != 10 {
			t.Errorf("%d are planted, %d in the manifest: %v", planted, len(m.Planted), err)
		}
		again, _ := trigger.Plant(t.Context(), d, 0.05, "good", 3)
		if !reflect.DeepEqual(again, p) {
			t.Error("the same seed planted something else")
		}
	}
	none, err := TextTrigger{}.Plant(t.Context(), d, 0, "good", 3)
	if err != nil || !slices.Equal(none.Texts.Texts, d.Texts) || slices.Contains(none.Which, true) {
		t.Errorf("at rate 0 something was planted, or %v", err)
	}
	if got := (TextTrigger{}).Apply(""); got != "cf" {
		t.Errorf("%q", got)
	}
	for target, rate := range map[string]float64{"ugly": 0.1, "good": 0.7, "bad": 0.001} {
		if _, err := (TextTrigger{}).Plant(t.Context(), d, rate, target, 1); err == nil {
			t.Errorf("planted at rate %g for %s", rate, target)
		}
	}
}
