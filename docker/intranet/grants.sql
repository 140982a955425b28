-- What Apache's role may read: README.md, "A role that can do no more than needed".
GRANT SELECT (id, username, password, is_active) ON auth_user TO apache;
GRANT SELECT (user_id, group_id) ON auth_user_groups TO apache;
GRANT SELECT (id, name) ON auth_group TO apache;
