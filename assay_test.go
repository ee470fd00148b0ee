package assay

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// texts collects a closed set with its parser.
func texts[T ~string](t *testing.T, all []T, parse func(string) (T, error)) {
	t.Helper()
	if len(all) == 0 {
		t.Fatal("the set is empty")
	}
	seen := map[T]bool{}
	for _, v := range all {
		if seen[v] {
			t.Errorf("%q is in the set twice", v)
		}
		seen[v] = true
		if got, err := parse(string(v)); err != nil || got != v {
			t.Errorf("parse %q: %q, %v", v, got, err)
		}
		var back T
		u, ok := any(&back).(encoding.TextUnmarshaler)
		if !ok {
			t.Fatalf("%T reads no text", back)
		}
		if err := u.UnmarshalText([]byte(v)); err != nil || back != v {
			t.Errorf("unmarshal %q: %q, %v", v, back, err)
		}
	}
	for _, text := range []string{"", strings.ToUpper(string(all[0])), string(all[0]) + " ", strings.Repeat("a", 1000)} {
		if got, err := parse(text); err == nil {
			t.Errorf("parse %q: %q and no error", text, got)
		}
	}
}

func TestSetsReadTheirOwnText(t *testing.T) {
	texts(t, Vulnerabilities(), ParseVulnerability)
	texts(t, Functions(), ParseFunction)
	texts(t, Outcomes(), ParseOutcome)
	texts(t, Relations(), ParseRelation)
	texts(t, Modalities(), ParseModality)
	texts(t, Levels(), ParseLevel)
	texts(t, Accesses(), ParseAccess)
	texts(t, Stages(), ParseStage)
	texts(t, Kinds(), ParseKind)
}

func TestCells(t *testing.T) {
	cells := Cells()
	if len(cells) != 25 {
		t.Fatalf("%d cells, not 25", len(cells))
	}
	seen := map[Cell]bool{}
	for _, c := range cells {
		seen[c] = true
		text, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var back Cell
		if err := json.Unmarshal(text, &back); err != nil || back != c {
			t.Errorf("%s read back as %v: %v", text, back, err)
		}
	}
	if len(seen) != 25 {
		t.Errorf("%d of 25 cells differ", len(seen))
	}
	for _, text := range []string{"", "evasion", "evasion/", "/prevent", "evasion/prevent/more"} {
		if c, err := ParseCell(text); err == nil {
			t.Errorf("%q was read as %v", text, c)
		}
	}
}

func TestParseErrorNamesTheNearest(t *testing.T) {
	for text, want := range map[string]string{"evasoin": "evasion", "data_poisoning": "data-poisoning", "Model-Flaw": "model-flaw"} {
		if _, err := ParseVulnerability(text); err == nil || !strings.Contains(err.Error(), "did you mean "+want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := ParseVulnerability("xyz"); err == nil || strings.Contains(err.Error(), "did you mean") {
		t.Errorf("a text like none of the set: %v", err)
	}
}

func TestRelation(t *testing.T) {
	if !AtMost.Holds(1, 1) || AtMost.Holds(1.1, 1) || !AtLeast.Holds(1, 1) || AtLeast.Holds(0.9, 1) {
		t.Error("a relation is wrong about its limit")
	}
}

func TestAccess(t *testing.T) {
	for i, a := range Accesses() {
		for j, b := range Accesses() {
			if a.Includes(b) != (i <= j) {
				t.Errorf("%s includes %s: %v", a, b, a.Includes(b))
			}
		}
	}
	if Gradients.Includes("") {
		t.Error("an unknown access is included")
	}
}

func TestCodeOf(t *testing.T) {
	cause := errors.New("cause")
	err := fmt.Errorf("outer: %w", WithCode(CodeInput, cause))
	if CodeOf(err) != CodeInput || !errors.Is(err, cause) || err.Error() != "outer: cause" {
		t.Errorf("%v has code %s", err, CodeOf(err))
	}
	if WithCode(CodeInput, nil) != nil || CodeOf(cause) != CodeInternal {
		t.Error("nil or an error without a code was given one")
	}
}
