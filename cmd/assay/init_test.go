package main

import (
	"math"
	"regexp"
	"testing"

	"go.yaml.in/yaml/v4"
)

// TestQuoted reads texts again that were written into YAML.
func TestQuoted(t *testing.T) {
	for _, text := range []string{"mean radius", "a.csv", "models/a-b_c.onnx", "yes", "No", "NULL", "true", "1", "1e3", "-", "a: b", "a #b", "#", "{", "a, b", "'", `"`, `\`,
		"größe", "a\nb", "\t", " a", "a ", "2026-11-01", "~", "*a", "&a", "!a", "%", "@", "`", "a:", "0x1", ".nan", "<<", "\u2028", "e1"} {
		var got map[string]any
		if err := yaml.Load([]byte("{a: "+quoted(text)+", b: 1}"), &got); err != nil || got["a"] != text || got["b"] != 1 {
			t.Errorf("%q is written as %s and read as %v, %v", text, quoted(text), got, err)
		}
	}
}

func TestOutward(t *testing.T) {
	for _, c := range []struct{ v, low, high float64 }{
		{6.981, 6.98, 6.99}, {-6.981, -6.99, -6.98}, {0, 0, 0}, {2501, 2501, 2501}, {0.0526302, 0.0526, 0.0527}, {1234.5, 1230, 1240}, {1, 1, 1}, {-0.5, -0.5, -0.5},
	} {
		if low, high := outward(c.v, math.Floor), outward(c.v, math.Ceil); low != c.low || high != c.high {
			t.Errorf("%v is within %v and %v, want %v and %v", c.v, low, high, c.low, c.high)
		}
	}
}

func TestUnusedName(t *testing.T) {
	used := map[string]bool{}
	for path, want := range map[string]string{"x/my data #1.csv.gz": "my-data-1", "ä.onnx": "unnamed", "-a-.onnx": "a"} {
		if got := unusedName(path, used); got != want {
			t.Errorf("%s is named %s, want %s", path, got, want)
		}
	}
	first, second := unusedName("a/m.onnx", used), unusedName("b/m.onnx", used)
	if first != "m" || second != "m-2" {
		t.Errorf("two of one name are %s and %s", first, second)
	}
	if name := unusedName("Ünïcode-"+string(make([]byte, 200))+"x", used); !regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`).MatchString(name) {
		t.Errorf("%q is no name", name)
	}
}
