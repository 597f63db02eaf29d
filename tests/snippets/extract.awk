# Writes each marked C++ block of a Markdown file to PREFIX NAME.cpp, given -v prefix=PREFIX -v shown=FILE.
#
#   <!-- snippet: NAME -->                 a block of statements, or a whole program with int main
#   <!-- snippet: NAME scope: namespace --> a block of declarations
#   <!-- snippet: NAME after: OTHER -->    continues block OTHER of the same file
#
# Includes move to the top; <blip/blip.hpp> is always there.

function fatal(text) {
    printf "%s:%d: %s\n", shown, FNR, text > "/dev/stderr"
    failed = 1
    exit 1
}

function finish(    path) {
    path = prefix name ".cpp"
    print "// From " shown "\n#include <blip/blip.hpp>\n" includes[name] > path
    if (body[name] ~ /int main *\(/)
        print body[name] > path
    else if (scope == "namespace")
        print "namespace snippet_" name " {\n" before[name] body[name] "}" > path
    else {
        if (before[name] != "")
            print "namespace {\n" before[name] "} // namespace" > path
        print "void snippet();\nvoid snippet() {\n" statements[name] "}" > path
    }
    close(path)
}

/^<!-- snippet: / {
    if (NF < 4 || $NF != "-->")
        fatal("expected <!-- snippet: NAME [scope: namespace] [after: OTHER] -->")
    name = $3
    if (name !~ /^[a-z][a-z0-9_]*$/)
        fatal("a snippet's name is lower case, found " name)
    if (name in body)
        fatal("snippet " name " stands twice in this file")
    scope = "function"
    other = ""
    for (i = 4; i < NF; i += 2) {
        if ($i == "scope:")
            scope = $(i + 1)
        else if ($i == "after:")
            other = $(i + 1)
        else
            fatal("unknown word " $i)
    }
    if (scope != "function" && scope != "namespace")
        fatal("scope is function or namespace, found " scope)
    if (other != "" && !(other in body))
        fatal("there is no snippet " other " above")
    marked = FNR
    next
}

marked && !inside && /^```/ {
    if ($0 !~ /^```(cpp|c\+\+)/)
        fatal("the block after a snippet mark is ```cpp, found " $0)
    inside = 1
    body[name] = ""
    includes[name] = includes[other]
    before[name] = before[other]
    statements[name] = statements[other]
    next
}

inside && /^```/ {
    inside = 0
    marked = 0
    if (scope == "function")
        statements[name] = statements[name] body[name]
    finish()
    if (scope == "namespace")
        before[name] = before[name] body[name]
    next
}

inside && /^#include/ {
    includes[name] = includes[name] $0 "\n"
    next
}

inside {
    body[name] = body[name] $0 "\n"
}

marked && !inside && NF && FNR > marked {
    fatal("a ```cpp block must follow the snippet mark")
}

END {
    if (!failed && inside)
        fatal("the last block is not closed")
    exit failed
}
