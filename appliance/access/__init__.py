"""Who may enter, where and when: pure rules, what is known of a person, and the little that must outlast a restart."""
