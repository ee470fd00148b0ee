package secret

import "testing"

func TestPersonal(t *testing.T) {
	for text, kind := range map[string]string{
		"written by jane.doe@clinic.org": "an e-mail address", "J. Doe <j+d@mail.uni-x.ac.uk>": "an e-mail address",
		"call +43 1 234 56 78": "a telephone number", "Phone: +1 (202) 555-0143": "a telephone number",
		"AT61 1904 3002 3457 3201": "the number of a bank account (IBAN)", "GB29NWBK60161331926819": "the number of a bank account (IBAN)",
		"/home/jdoe/models/x.onnx": "the name of a user, in the path of a home folder", `C:\Users\Jane\x`: "the name of a user, in the path of a home folder", "at /Users/jane/git/x.py": "the name of a user, in the path of a home folder",
	} {
		if found := Personal(text); len(found) != 1 || found[0].Kind != kind {
			t.Errorf("%q: %v, want %s", text, found, kind)
		}
	}
	for _, text := range []string{
		"git@github.com:a/b.git", "noreply@github.com", "1234+x@users.noreply.github.com", "icon@2x.png", "user@example.org", "a @ b.c", "x@y", "version 1.2.3+4 5 6", "+1", "+0.5 -0.25 +0.125 1.5",
		"AT61 1904 3002 3457 3202", "DE00000000000000000000", "ABCD1234EFGH5678IJKL9012", "/home/ubuntu/x", "/home/runner/work/a", "/Users/runner/x", "https://host/home/page/x", "data/home/alice/x", "layers.0.self_attn.q_proj.weight", "GB82 WEST",
	} {
		if found := Personal(text); len(found) != 0 {
			t.Errorf("%q: %v", text, found)
		}
	}
}

func FuzzFind(f *testing.F) {
	for _, s := range []string{"jane.doe@clinic.org", "+43 1 234 56 78", "GB29NWBK60161331926819", "/home/jdoe/x", "tel: +", "phone +1 23 45", "AKIAABCDEFGHIJKLMNOP", "\xff@\xff.org"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, found := range append(Find(s), Personal(s)...) {
			if found.Offset < 0 || found.Offset > len(s) {
				t.Fatalf("%q: %v", s, found)
			}
		}
	})
}
